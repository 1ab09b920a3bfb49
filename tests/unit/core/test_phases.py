"""The table of phases: each can be reached, and each after the start leads to LIVE."""

from __future__ import annotations

import pytest

from authz_sidecar.core.phases import TRANSITIONS, Event, Phase


@pytest.mark.parametrize(
    ("before", "event", "after"), [(*pair, after) for pair, after in TRANSITIONS.items()]
)
def test_every_transition_changes_the_phase(before: Phase, event: Event, after: Phase) -> None:
    assert before is not after


def test_every_phase_can_be_reached_and_none_leads_back_to_cold() -> None:
    reachable, frontier = {Phase.COLD}, {Phase.COLD}
    while frontier:
        frontier = {after for (before, _), after in TRANSITIONS.items() if before in frontier} - reachable
        reachable |= frontier
    assert reachable == set(Phase)
    assert Phase.COLD not in TRANSITIONS.values()


def test_every_phase_after_the_start_leads_to_live() -> None:
    for phase in set(Phase) - {Phase.COLD, Phase.LIVE}:
        assert TRANSITIONS[phase, Event.CAUGHT_UP] is Phase.LIVE
