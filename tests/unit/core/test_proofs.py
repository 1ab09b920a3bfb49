"""Proofs of freshness: what proves which instant, and what proves nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz_sidecar.core.entities import Heartbeat, Position
from authz_sidecar.core.proofs import CLOCK_TOLERANCE, HEARTBEAT_SILENCE, MAX_PENDING, Proofs

EPOCH = "3f2a9c1b-0000-4000-8000-000000000001"
SERVICE_AHEAD = 1_000.0
"""The service's clock minus ours."""


def at(revision: int) -> Position:
    return Position(EPOCH, revision, f"at {revision}")


def beat(revision: int, made_at: float, revision_at: str | None = None) -> Heartbeat:
    return Heartbeat(Position(EPOCH, revision, revision_at), made_at + SERVICE_AHEAD)


def pulled(head: int = 10, sent_at: float = 100.0) -> Proofs:
    """Those of a replica that stands at revision 10 and has pulled once."""
    proofs = Proofs()
    proofs.pulled(head, sent_at + SERVICE_AHEAD, sent_at, sent_at, at(10))
    return proofs


def test_without_a_proof_nothing_is_known() -> None:
    assert Proofs().staleness(1.0) is None
    assert not Proofs().hears_broker(1.0)


def test_a_proof_holds_once_its_revision_is_applied() -> None:
    proofs = pulled(head=12)
    assert proofs.staleness(105.0) is None
    assert proofs.moved(at(11))
    assert proofs.staleness(105.0) is None
    assert proofs.moved(at(12))
    assert proofs.staleness(105.0) == 5.0


def pulled_losses(proofs: Proofs, sent_at: float, head: int = 10) -> None:
    proofs.pulled(head, sent_at + SERVICE_AHEAD, sent_at, sent_at, at(10), whole=False)


def test_a_proof_of_what_was_lost_proves_nothing_of_what_was_gained() -> None:
    proofs = pulled()
    pulled_losses(proofs, 110.0)
    assert (proofs.staleness(111.0), proofs.losses_staleness(111.0)) == (11.0, 1.0)
    proofs.pulled(10, 112.0 + SERVICE_AHEAD, 112.0, 112.0, at(10))
    assert proofs.staleness(113.0) == proofs.losses_staleness(113.0) == 1.0


def test_a_proof_of_what_was_lost_holds_once_its_revision_is_applied() -> None:
    proofs = pulled()
    pulled_losses(proofs, 110.0, head=11)
    assert proofs.losses_staleness(111.0) == 11.0
    proofs.moved(at(11))
    assert (proofs.staleness(111.0), proofs.losses_staleness(111.0)) == (11.0, 1.0)
    proofs.restart()
    assert proofs.losses_staleness(111.0) is None


def test_a_proof_of_what_was_lost_says_nothing_of_an_audit() -> None:
    proofs = pulled()
    proofs.pulled(10, 1_110.0, 110.0, 110.0, at(10), 1_109.0, whole=False)
    assert proofs.audit_age(111.0) == inf


def test_decisions_that_let_somebody_through_stay_possible_for_longer() -> None:
    proofs = Proofs(max_staleness=30.0)
    assert proofs.fresh_for(100.0) < 0.0
    proofs.pulled(10, 1_100.0, 100.0, 100.0, at(10))
    pulled_losses(proofs, 120.0)
    assert (proofs.fresh_for(125.0), proofs.allows_for(125.0)) == (5.0, 25.0)


@pytest.mark.parametrize(
    ("made_at", "arrives", "staleness", "credible"),
    [
        (105.0, 105.0, 0.0, True),
        (105.0, 160.0, 55.0, True),
        (105.0 + CLOCK_TOLERANCE, 105.0, 0.0, True),
        (106.0, 105.0, 5.0, False),
        (50.0, 105.0, 5.0, True),
    ],
    ids=["at once", "held up", "a little ahead", "from the future", "older than the pull"],
)
def test_a_heartbeat_proves_when_it_was_made(
    made_at: float, arrives: float, staleness: float, credible: bool
) -> None:
    proofs = pulled()
    assert proofs.heard(beat(10, made_at), arrives, at(10)) is credible
    assert proofs.staleness(arrives) == pytest.approx(staleness)


def test_a_clock_that_was_set_must_be_measured_again() -> None:
    proofs = pulled()
    assert not proofs.heard(beat(10, 3_700.0), 101.0, at(10))
    assert proofs.heard(beat(10, 102.0), 102.0, at(10))
    assert proofs.staleness(102.0) == 2.0
    proofs.pulled(10, 103.0 + SERVICE_AHEAD, 103.0, 103.0, at(10))
    proofs.heard(beat(10, 104.0), 104.0, at(10))
    assert proofs.staleness(104.0) == pytest.approx(0.0)


SET_BY = {
    "back": (-49.0, 1_101.0, 60.0),
    "back, made right before": (-49.0, 1_109.9, 60.0),
    "back, made afterwards": (-49.0, 1_099.0, 60.0),
    "back, made when it had caught up": (-49.0, 1_110.5, 10.5),
    "forward": (49.0, 1_101.0, 60.0),
    "forward, made afterwards": (49.0, 1_189.0, 30.0),
}


@pytest.mark.parametrize(("change", "made_at", "staleness"), SET_BY.values(), ids=SET_BY)
def test_a_heartbeat_that_was_held_up_while_the_clock_was_set_looks_no_younger(
    change: float, made_at: float, staleness: float
) -> None:
    """`made_at` by the service's clock, set before the pull of the instant 110; it is heard at 170."""
    proofs = pulled()
    proofs.pulled(10, 110.0 + SERVICE_AHEAD + change, 110.0, 110.0, at(10))
    proofs.heard(Heartbeat(at(10), made_at), 170.0, at(10))
    assert proofs.staleness(170.0) == pytest.approx(staleness)


def test_an_audit_that_such_a_heartbeat_tells_of_looks_no_younger_either() -> None:
    """Made at 101 and of an audit at 90, it is heard after the clock was set back, and after a pull."""
    proofs = pulled()
    proofs.pulled(10, 110.0 + SERVICE_AHEAD - 49.0, 110.0, 110.0, at(10))
    proofs.heard(Heartbeat(at(10), 1_101.0, audited_at=1_090.0), 170.0, at(10))
    assert proofs.audit_age(170.0) == pytest.approx(80.0)


@given(
    changes=st.lists(st.floats(-100.0, 100.0), min_size=20, max_size=20),
    made_at=st.floats(0.0, 99.0),
    delay=st.floats(0.0, 60.0),
)
def test_a_heartbeat_looks_younger_by_no_more_than_the_time_since_the_last_pull(
    changes: list[float], made_at: float, delay: float
) -> None:
    """There is one in ten seconds; between two the clock is set once."""
    heard_at = made_at + delay
    ahead, read = SERVICE_AHEAD, None
    proofs = pulled(sent_at=0.0)
    for second, change in enumerate(changes, start=0):
        set_at, pull_at = 10.0 * second + 5.0, 10.0 * second + 10.0
        if read is None and made_at < set_at:
            read = made_at + ahead
        ahead += change
        if read is None and made_at < pull_at:
            read = made_at + ahead
        if pull_at <= heard_at:
            proofs.pulled(10, pull_at + ahead, pull_at, pull_at, at(10))
    assert read is not None
    proofs.heard(Heartbeat(at(10), read), heard_at, at(10))
    since_the_last_pull = heard_at % 10.0
    assert (proofs.heartbeat_at or made_at) <= made_at + since_the_last_pull + 0.001


def test_the_broker_is_heard_as_long_as_heartbeats_are_young() -> None:
    proofs = pulled()
    proofs.heard(beat(10, 101.0), 101.0, at(10))
    assert proofs.hears_broker(101.0 + HEARTBEAT_SILENCE)
    assert not proofs.hears_broker(101.1 + HEARTBEAT_SILENCE)


@pytest.mark.parametrize(
    ("revision_at", "holds"), [(None, True), ("at 11", True), ("at another time", False)]
)
def test_a_proof_of_another_branch_proves_nothing(revision_at: str | None, holds: bool) -> None:
    proofs = pulled()
    proofs.heard(beat(11, 105.0, revision_at), 105.0, at(10))
    assert proofs.moved(at(11)) is holds
    assert proofs.staleness(105.0) == pytest.approx(0.0 if holds else 5.0)


def test_another_history_begins_without_proofs() -> None:
    proofs = pulled(head=11)
    proofs.heard(beat(11, 101.0), 101.0, at(10))
    proofs.restart()
    assert proofs.moved(at(11))
    assert proofs.staleness(101.0) is None
    assert not proofs.hears_broker(101.0)
    proofs.heard(beat(11, 102.0), 102.0, at(11))
    assert proofs.staleness(102.0) is None


@given(st.lists(st.tuples(st.integers(1, 20), st.floats(0.0, 100.0)), max_size=30))
def test_staleness_is_of_the_newest_that_holds(proven: list[tuple[int, float]]) -> None:
    """Whatever the order in which proofs come; a later one that is still pending is never counted."""
    proofs = Proofs()
    for revision, instant in proven:
        proofs.prove(revision, instant, at(10))
    held = [instant for revision, instant in proven if revision <= 10]
    assert proofs.proven_at == max(held, default=None)
    proofs.moved(at(20))
    assert proofs.proven_at == max((instant for _, instant in proven), default=None)


def test_what_is_pending_is_bounded() -> None:
    proofs = Proofs()
    for revision in range(11, 11 + 2 * MAX_PENDING):
        proofs.prove(revision, 1.0, at(10))
    proofs.moved(at(10 + MAX_PENDING))
    assert proofs.proven_at is None


AUDITS = {
    "a pull": (lambda proofs: proofs.pulled(10, 1_105.0, 105.0, 105.0, at(10), 1_040.0), 65.0),
    "a pull that does not say": (lambda proofs: proofs.pulled(10, 1_105.0, 105.0, 105.0, at(10)), inf),
    "a heartbeat": (lambda proofs: hear(proofs, 10, audited_at=50.0), 55.0),
    "a heartbeat that does not say": (lambda proofs: hear(proofs, 10), inf),
    "after the heartbeat itself": (lambda proofs: hear(proofs, 10, audited_at=3_600.0), 1.0),
    "of what is not applied": (lambda proofs: hear(proofs, 11, audited_at=50.0), inf),
    "an older one": (
        lambda proofs: (hear(proofs, 10, audited_at=50.0), hear(proofs, 10, audited_at=40.0)),
        55.0,
    ),
    "silence after it": (lambda proofs: (hear(proofs, 10, audited_at=50.0), hear(proofs, 10)), 55.0),
    "of another history": (lambda proofs: (hear(proofs, 10, audited_at=50.0), proofs.restart()), inf),
}


def hear(proofs: Proofs, revision: int, audited_at: float | None = None) -> None:
    """A heartbeat of 104; `audited_at` on our clock."""
    audited = None if audited_at is None else audited_at + SERVICE_AHEAD
    proofs.heard(replace(beat(revision, 104.0, "at 11"), audited_at=audited), 105.0, at(10))


@pytest.mark.parametrize(("happens", "age"), AUDITS.values(), ids=AUDITS.keys())
def test_the_age_of_the_audit_at_105(happens: Callable[[Proofs], object], age: float) -> None:
    proofs = pulled()
    happens(proofs)
    assert proofs.audit_age(105.0) == pytest.approx(age)


@pytest.mark.parametrize(("revision_at", "age"), [("at 11", 55.0), ("at another time", inf)])
def test_an_audit_counts_once_what_it_found_is_applied(revision_at: str, age: float) -> None:
    proofs = pulled()
    hear(proofs, 11, audited_at=50.0)
    proofs.moved(Position(EPOCH, 11, revision_at))
    assert proofs.audit_age(105.0) == pytest.approx(age)
