"""When the simulated world and the real one do not agree."""

from __future__ import annotations

from collections import Counter

import pytest

from lab.campaign.catalogue import CATALOGUE
from lab.campaign.report import Injected, Report
from lab.simulation.agreement import STORIES, disagreements, faults_of, refused
from lab.simulation.faults import CATALOGUE as SIMULATED

KILLED, FLUSHED = "kill redis", "flush redis"


def test_every_story_can_happen_in_both() -> None:
    assert set(STORIES) <= {fault.name for fault in CATALOGUE}
    told = list(faults_of(0))
    assert {story for story, _ in told} == set(STORIES)
    assert {fault.kind for _, fault in told} <= set(SIMULATED)


@pytest.mark.parametrize(
    ("real", "seen", "found"),
    [
        ({KILLED: Counter(behind=2)}, {"behind", "granted"}, []),
        ({KILLED: Counter(stale=2)}, {"stale"}, [f"real: stale (2) in {KILLED}, which was not simulated"]),
        (
            {FLUSHED: Counter(behind=1)},
            {"behind"},
            ["real: behind (1) in flush redis, which was not simulated"],
        ),
        ({}, {"superuser"}, ["real: superuser, which was never simulated"]),
        ({KILLED: Counter(no_rule=1)}, {"no_rule"}, []),  # says nothing of the copy
    ],
)
def test_what_only_reality_said_is_found(
    real: dict[str, Counter[str]], seen: set[str], found: list[str]
) -> None:
    simulated: dict[str, Counter[str]] = {KILLED: Counter(behind=1, granted=5), FLUSHED: Counter(granted=1)}
    assert disagreements(simulated, real, seen) == found


def test_a_refusal_belongs_to_the_fault_before_it() -> None:
    report = Report(1, 1.0, 5.0)
    report.injected += [Injected(KILLED, "", None, 10.0), Injected(FLUSHED, "", None, 20.0)]
    report.answers += [
        {"sent_at": at, "code": code}
        for at, code in (
            (5.0, "not_ready"),
            (12.0, "stale"),
            (19.9, "behind"),
            (20.0, "behind"),
            (21.0, None),
        )
    ]
    assert refused(report) == {KILLED: Counter(stale=1, behind=1), FLUSHED: Counter(behind=1)}
