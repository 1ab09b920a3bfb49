"""Hostile clients of all kinds at once, on a small scale: `scripts/hostile` is the large one."""

from __future__ import annotations

from lab.hostile import report
from lab.hostile.run import Outcome, Plan, run


def test_hostile_clients_hold_little_and_others_are_served() -> None:
    """How fast those are served is not asserted: it depends on how busy the machine is."""
    told: list[Outcome] = []
    run(Plan(connections=40, rate=200, seconds=0.5, apart=False), told.append)
    assert len(told) == 2
    for outcome in told:
        assert not outcome.misses(timed=False), report.line(outcome)
        assert outcome.tally.opened >= outcome.wave.connections * 0.9
