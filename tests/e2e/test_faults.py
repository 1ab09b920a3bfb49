"""A short fault campaign: whatever fails, no decision is wrong and nothing hangs."""

from __future__ import annotations

from pathlib import Path

from lab.campaign.catalogue import CATALOGUE
from lab.campaign.run import Plan, run

FAULTS = {
    "kill redis",
    "kill sidecar",
    "kill a worker",
    "kill a follower",
    "freeze a follower",
    "hand over",
    "freeze postgresql",
    "cut a link",
    "fail redis over",
    "replay messages",
    "restore a backup",
    "restore, new epoch",
    "truncate the log",
}
SEED = 36
"""Its order begins with faults of every sort: to parts of a sidecar, and to what is stored."""


def test_no_decision_is_wrong_under_faults(tmp_path: Path) -> None:
    """Availability is not asserted: it depends on how busy the machine is."""
    faults = [fault for fault in CATALOGUE if fault.name in FAULTS]
    said: list[str] = []
    report = run(Plan(SEED, minutes=0.75, faults=faults, calm=(0.3, 0.8)), tmp_path, said.append)
    assert report.wrong() == [], "\n".join(said)
    assert report.verified is not None
    assert report.verified.decisions > 100
    assert {each.fault for each in report.injected} <= FAULTS
    assert len(report.injected) >= 3
