"""The state machine: what moves `applied`, what proves freshness, and what is asked for next."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from authz_sidecar.core.entities import Change, Entity, EntityKey, GroupState, Heartbeat, Position
from authz_sidecar.core.phases import Phase
from authz_sidecar.core.proofs import HEARTBEAT_SILENCE
from authz_sidecar.core.replica import (
    ASK_SPACING,
    CONFIRM_INTERVAL,
    DEMAND_SPACING,
    GAP_GRACE,
    LAST_RETRY,
    MAX_HELD,
    ReplicaMachine,
)
from authz_sidecar.core.steps import Apply, AskHead, Hold, Ignore, Pull, Resync, Wait
from authz_sidecar.core.wire import Head

OURS = "3f2a9c1b-0000-4000-8000-000000000001"
OTHER = "99999999-0000-4000-8000-000000000002"
FEED_INTERVAL = 0.5
MAX_STALENESS = 30.0
SERVICE_AHEAD = 1_000_000.0
"""The service's clock minus ours."""


def service_time(now: float) -> str:
    return datetime.fromtimestamp(now + SERVICE_AHEAD, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def change(revision: int, epoch: str = OURS, at: str | None = None, after: str | None = None) -> Change:
    entity = Entity(EntityKey("group", "1"), revision, GroupState(frozenset({f"p.{revision}"})))
    return Change(Position(epoch, revision, at or service_time(revision)), None, (entity,), previous_at=after)


def beat(revision: int, made_at: float, epoch: str = OURS, revision_at: str | None = None) -> Heartbeat:
    return Heartbeat(Position(epoch, revision, revision_at), made_at + SERVICE_AHEAD)


def live(revision: int = 10, now: float = 100.0) -> ReplicaMachine:
    """A machine that stands at a snapshot's revision and has just pulled."""
    machine = ReplicaMachine(FEED_INTERVAL, MAX_STALENESS)
    machine.begin()
    machine.restart(change(revision).position, revision, now, now)
    pull(machine, now, head=revision)
    assert machine.phase is Phase.LIVE
    return machine


def pull(machine: ReplicaMachine, now: float, head: int, *arrived: Change) -> None:
    machine.pulling(now)
    for each in arrived:
        machine.receive(each, now)
    machine.pulled(head, now + SERVICE_AHEAD, now, now)


def test_an_answer_without_proof_is_taken_over_and_proves_nothing() -> None:
    machine = live(10, now=100.0)
    machine.pulling(101.0)
    machine.receive(change(11), 101.0)
    machine.pulled(11, 101.0 + SERVICE_AHEAD, 101.0, 101.0, proved="nothing")
    assert revision(machine) == 11
    assert machine.proofs.proven_at == 100.0
    machine.settle(100.0 + MAX_STALENESS + 1)
    assert machine.phase is Phase.STALE


def test_an_answer_that_proves_what_was_lost_lets_go_on_those_who_may() -> None:
    machine = live(10, now=100.0)
    machine.pulling(140.0)
    machine.pulled(10, 140.0 + SERVICE_AHEAD, 140.0, 140.0, proved="losses")
    assert machine.phase is Phase.STALE
    assert machine.proofs.fresh_for(141.0) < 0.0 < machine.proofs.allows_for(141.0)


def test_what_has_expired_while_it_caught_up_is_not_waited_for() -> None:
    """Only losses were proved in time; the next thing to do is a pull, and it is not due at once."""
    machine = ReplicaMachine(2.0, 5.0)
    machine.begin()
    machine.restart(change(1).position, 3, 0.0, 0.0)
    for number, sent_at, now in ((2, 1.0, 6.0), (3, 6.0, 6.5)):
        machine.pulling(sent_at)
        machine.receive(change(number), now)
        machine.pulled(3, sent_at + SERVICE_AHEAD, sent_at, now, proved="losses")
    assert machine.step(6.5) == Wait(8.0)


def revision(machine: ReplicaMachine) -> int:
    assert machine.applied is not None
    return machine.applied.revision


class TestTheOneRule:
    def test_next_revision_is_applied(self) -> None:
        machine = live(10)
        assert machine.receive(change(11), 101.0) == [Apply(change(11))]
        assert machine.applied == change(11).position

    @pytest.mark.parametrize("old", [1, 9, 10])
    def test_older_revision_is_a_duplicate(self, old: int) -> None:
        machine = live(10)
        assert machine.receive(change(old), 101.0) == [Ignore("duplicate")]
        assert revision(machine) == 10

    def test_later_revision_waits_for_the_ones_before(self) -> None:
        machine = live(10)
        assert machine.receive(change(12), 100.1) == [Hold()]
        assert revision(machine) == 10
        assert machine.step(100.1) == Pull(change(10).position, "gap")
        assert machine.receive(change(11), 100.1) == [Apply(change(11)), Apply(change(12))]
        assert isinstance(machine.step(100.1), Wait)

    def test_what_is_held_is_bounded(self) -> None:
        machine = live(10)
        for each in range(12, 12 + 2 * MAX_HELD):
            machine.receive(change(each), 101.0)
        assert len(machine.receive(change(11), 101.0)) == 1 + MAX_HELD

    def test_held_foreign_changes_are_never_applied(self) -> None:
        machine = ReplicaMachine(FEED_INTERVAL, MAX_STALENESS)
        machine.begin()
        machine.receive(change(11, OTHER), 1.0)
        assert machine.restart(change(10).position, 10, 1.0, 1.0) == []
        assert machine.head == 10

    def test_a_snapshot_takes_over_what_was_held(self) -> None:
        machine = ReplicaMachine(FEED_INTERVAL, MAX_STALENESS)
        machine.begin()
        for each in (9, 12, 11):
            assert machine.receive(change(each), 1.0) == [Hold()]
        assert machine.restart(change(10).position, 10, 1.0, 2.0) == [Apply(change(11)), Apply(change(12))]


class TestStart:
    def test_it_asks_for_a_position_first(self) -> None:
        machine = ReplicaMachine(FEED_INTERVAL, MAX_STALENESS)
        assert machine.phase is Phase.COLD
        machine.begin()
        assert machine.phase is Phase.SYNCING
        assert machine.step(0.0) == Resync("start")

    def test_a_copy_that_the_service_knows_is_behind_until_it_has_caught_up(self) -> None:
        machine = ReplicaMachine(FEED_INTERVAL, MAX_STALENESS)
        machine.begin()
        assert machine.restart(change(10).position, 12, 5.0, 6.0) == []
        assert machine.proofs.staleness(6.0) is None
        assert machine.phase is Phase.SYNCING
        assert machine.step(6.0) == Pull(change(10).position, "gap")
        machine.receive(change(11), 6.0)
        machine.receive(change(12), 6.0)
        assert machine.proofs.staleness(6.0) == 1.0
        assert machine.phase is Phase.LIVE

    def test_a_snapshot_is_as_fresh_as_its_request(self) -> None:
        machine = ReplicaMachine(FEED_INTERVAL, MAX_STALENESS)
        machine.begin()
        machine.restart(change(10).position, 10, 5.0, 25.0)
        assert machine.proofs.staleness(25.0) == 20.0
        assert machine.was_live


class TestGaps:
    def test_a_heartbeat_ahead_is_a_gap_after_the_grace(self) -> None:
        machine = live(10)
        machine.heartbeat(beat(11, 101.0), 101.0)
        assert machine.step(101.0) == Wait(101.0 + GAP_GRACE)
        assert machine.phase is Phase.LIVE
        assert machine.step(101.0 + GAP_GRACE) == Pull(change(10).position, "gap")
        assert machine.phase is Phase.CATCHING_UP

    def test_the_change_itself_ends_the_grace(self) -> None:
        machine = live(10)
        machine.heartbeat(beat(11, 101.0), 101.0)
        machine.receive(change(11), 101.01)
        assert isinstance(machine.step(101.0 + GAP_GRACE), Wait)

    def test_a_partial_answer_is_continued_at_once(self) -> None:
        machine = live(10)
        machine.receive(change(14), 101.0)
        assert machine.step(101.0) == Pull(change(10).position, "gap")
        pull(machine, 101.0, 14, change(11), change(12))
        assert machine.step(101.0) == Pull(change(12).position, "more")
        pull(machine, 101.0, 14, change(13))
        assert revision(machine) == 14
        assert machine.phase is Phase.LIVE

    def test_an_answer_that_leads_nowhere_is_not_repeated_at_once(self) -> None:
        machine = live(10)
        machine.heartbeat(beat(11, 101.0), 101.0)
        pull(machine, 101.1, 11)
        assert isinstance(machine.step(101.1), Wait)
        assert isinstance(machine.step(101.1 + LAST_RETRY), Pull)

    def test_a_false_head_is_forgotten_after_a_pull(self) -> None:
        machine = live(10)
        machine.receive(change(5_000_000), 101.0)
        pull(machine, 102.0, 10)
        assert machine.head == 10
        assert machine.phase is Phase.LIVE

    def test_what_was_heard_after_the_request_was_sent_is_not_forgotten(self) -> None:
        machine = live(10)
        machine.pulling(101.0)
        machine.receive(change(12), 101.5)
        machine.pulled(10, 101.0 + SERVICE_AHEAD, 101.0, 102.0)
        assert machine.head == 12
        assert machine.step(103.0) == Pull(change(10).position, "gap")

    def test_a_message_that_cannot_be_read_is_fetched(self) -> None:
        machine = live(10)
        machine.malformed()
        assert machine.step(101.0) == Pull(change(10).position, "demand")

    def test_the_next_number_of_another_branch_is_not_the_next_revision(self) -> None:
        """A backup was restored without a new epoch: what the lost branch had sent may still arrive."""
        machine = live(10)
        assert machine.receive(change(11, after=service_time(77)), 101.0) == [Ignore("forked")]
        assert revision(machine) == 10
        assert machine.step(101.0) == Pull(change(10).position, "demand")
        (apply,) = machine.receive(change(11, after=service_time(10)), 101.0)
        assert isinstance(apply, Apply)

    def test_what_was_held_back_of_another_branch_is_dropped(self) -> None:
        machine = live(10)
        assert machine.receive(change(12, after=service_time(77)), 101.0) == [Hold()]
        assert len(machine.receive(change(11, after=service_time(10)), 101.0)) == 1
        assert revision(machine) == 11
        assert isinstance(machine.step(101.0), Pull)

    def test_the_same_revision_at_another_time_makes_us_ask(self) -> None:
        machine = live(10)
        assert machine.receive(change(10, at=service_time(77)), 101.0) == [Ignore("duplicate")]
        assert machine.step(101.0) == Pull(change(10).position, "demand")

    def test_a_heartbeat_of_the_same_revision_at_another_time_proves_nothing(self) -> None:
        """A restored database has come up to our number again, on another branch."""
        machine = live(10, now=100.0)
        machine.heartbeat(beat(10, 105.0, revision_at=service_time(77)), 105.0)
        assert machine.proofs.staleness(105.0) == 5.0
        assert not machine.proofs.hears_broker(105.0)
        assert machine.step(105.0) == Pull(change(10).position, "demand")
        machine.heartbeat(beat(10, 106.0, revision_at=service_time(10)), 106.0)
        assert machine.proofs.staleness(106.0) == pytest.approx(0.0)

    def test_nor_does_one_whose_revision_arrives_later_and_was_made_at_another_time(self) -> None:
        machine = live(10, now=100.0)
        machine.heartbeat(beat(12, 105.0, revision_at=service_time(77)), 105.0)
        machine.receive(change(11), 105.0)
        machine.receive(change(12), 105.0)
        assert machine.proofs.staleness(105.0) == 5.0
        assert machine.step(106.0) == Pull(change(12).position, "demand")

    def test_a_heartbeat_ahead_of_its_revision_proves_once_that_is_applied(self) -> None:
        machine = live(10, now=100.0)
        machine.heartbeat(beat(12, 105.0, revision_at=service_time(12)), 105.0)
        machine.receive(change(11), 105.0)
        assert machine.proofs.staleness(105.0) == 5.0
        machine.receive(change(12), 105.0)
        assert machine.proofs.staleness(105.0) == pytest.approx(0.0)

    def test_an_older_heartbeat_makes_us_ask(self) -> None:
        machine = live(10)
        machine.heartbeat(beat(9, 101.0), 101.0)
        assert machine.step(101.0) == Pull(change(10).position, "demand")


class TestOtherHistories:
    def test_history_gone_asks_for_another_position(self) -> None:
        machine = live(10)
        machine.history_gone(101.0)
        assert machine.step(101.0) == Resync("history_gone")
        machine.restart(change(500).position, 500, 101.0, 102.0)
        assert revision(machine) == 500
        assert machine.phase is Phase.LIVE

    @pytest.mark.parametrize(
        "message", [change(11, OTHER), beat(3, 101.0, OTHER)], ids=["change", "heartbeat"]
    )
    def test_a_foreign_epoch_is_ignored_until_it_is_confirmed(self, message: Change | Heartbeat) -> None:
        machine = live(10)
        report = machine.receive if isinstance(message, Change) else machine.heartbeat
        assert report(message, 101.0) == [Ignore("foreign_epoch")]  # type: ignore[arg-type]
        assert machine.step(101.0) == AskHead()
        machine.asking(101.0)
        machine.head_answered(Head(OTHER, 3, 0.0), 101.1)
        assert machine.step(101.1) == Resync("epoch")
        assert revision(machine) == 10

    def test_a_disowned_epoch_is_not_asked_about_again(self) -> None:
        machine = live(10)
        machine.receive(change(11, OTHER), 101.0)
        machine.asking(101.0)
        machine.head_answered(Head(OURS, 10, 0.0), 101.1)
        machine.receive(change(12, OTHER), 101.0 + 2 * ASK_SPACING)
        assert not isinstance(machine.step(101.0 + 2 * ASK_SPACING), AskHead)

    def test_questions_for_the_head_are_spaced(self) -> None:
        machine = live(10)
        machine.asking(101.0)
        machine.receive(change(11, OTHER), 101.1)
        assert not isinstance(machine.step(101.1), AskHead)
        assert machine.step(101.0 + ASK_SPACING) == AskHead()

    def test_proofs_of_another_epoch_are_dropped(self) -> None:
        machine = live(10)
        machine.heartbeat(beat(11, 101.0), 101.0)
        machine.restart(Position(OTHER, 10, None), 99, 102.0, 102.0)
        machine.receive(change(11, OTHER), 102.0)
        assert machine.proofs.staleness(102.0) is None


class TestProofs:
    def test_a_pull_proves_the_instant_it_was_sent(self) -> None:
        machine = live(10)
        machine.pulling(110.0)
        machine.pulled(10, 0.0, 110.0, 114.0)
        assert machine.proofs.staleness(115.0) == 5.0

    def test_a_pull_proves_nothing_until_its_head_is_applied(self) -> None:
        machine = live(10, now=100.0)
        pull(machine, 110.0, 12, change(11))
        assert machine.proofs.staleness(110.0) == 10.0
        machine.receive(change(12), 111.0)
        assert machine.proofs.staleness(111.0) == 1.0

    def test_a_heartbeat_proves_when_it_was_made_not_when_it_came(self) -> None:
        machine = live(10, now=100.0)
        machine.heartbeat(beat(10, 105.0), 160.0)
        assert machine.proofs.staleness(160.0) == pytest.approx(55.0)
        assert not machine.proofs.hears_broker(160.0)

    def test_a_heartbeat_older_than_what_is_known_proves_nothing(self) -> None:
        machine = live(10, now=100.0)
        machine.receive(change(12), 101.0)
        machine.heartbeat(beat(10, 105.0), 105.0)
        assert machine.proofs.staleness(105.0) == 5.0

    def test_a_heartbeat_from_the_future_shows_a_clock_was_set(self) -> None:
        machine = live(10, now=100.0)
        machine.heartbeat(beat(10, 3_700.0), 101.0)
        assert machine.proofs.staleness(101.0) == 1.0
        assert machine.step(101.0) == Pull(change(10).position, "demand")
        machine.heartbeat(beat(10, 101.0), 101.0)  # no offset is known any more
        assert machine.proofs.staleness(102.0) == 2.0

    def test_a_slow_answer_never_makes_heartbeats_look_newer(self) -> None:
        machine = live(10, now=100.0)
        machine.pulling(110.0)
        machine.pulled(10, 112.0 + SERVICE_AHEAD, 110.0, 114.0)  # the service's `now` was read at 112
        machine.heartbeat(beat(10, 115.0), 115.0)
        assert machine.proofs.staleness(115.0) == pytest.approx(2.0)

    def test_without_proofs_it_goes_stale_and_a_proof_brings_it_back(self) -> None:
        machine = live(10, now=100.0)
        machine.settle(100.0 + MAX_STALENESS)
        assert machine.phase is Phase.LIVE
        machine.settle(100.1 + MAX_STALENESS)
        assert machine.phase is Phase.STALE
        pull(machine, 140.0, 10)
        assert machine.phase is Phase.LIVE

    def test_decisions_need_an_audit_within_its_bound(self) -> None:
        machine = ReplicaMachine(FEED_INTERVAL, MAX_STALENESS, max_audit_age=60.0)
        machine.begin()
        machine.restart(change(10).position, 10, 100.0, 100.0)
        assert machine.phase is Phase.LIVE  # it has a copy, whoever may decide by it
        assert machine.proofs.fresh_for(100.0) < 0.0
        for now, audited_at, fresh_until in (
            (130.0, 95.0, 155.0),
            (152.0, None, 155.0),
            (154.0, 150.0, 184.0),
        ):
            machine.pulling(now)
            audited = None if audited_at is None else audited_at + SERVICE_AHEAD
            machine.pulled(10, now + SERVICE_AHEAD, now, now, audited_at=audited)
            assert machine.proofs.fresh_for(fresh_until) >= 0.0
            assert machine.proofs.fresh_for(fresh_until + 0.1) < 0.0


class TestWhenToPull:
    def test_without_heartbeats_the_feed_is_polled(self) -> None:
        machine = live(10, now=100.0)
        assert machine.step(100.1) == Wait(100.0 + FEED_INTERVAL)
        assert machine.step(100.0 + FEED_INTERVAL) == Pull(change(10).position, "routine")

    def test_with_heartbeats_it_is_confirmed_now_and_then(self) -> None:
        machine = live(10, now=100.0)
        for second in range(1, int(CONFIRM_INTERVAL)):
            machine.heartbeat(beat(10, 100.0 + second), 100.0 + second)
            assert isinstance(machine.step(100.0 + second), Wait)
        assert machine.step(100.0 + CONFIRM_INTERVAL) == Pull(change(10).position, "routine")

    def test_when_heartbeats_stop_the_feed_is_polled_again(self) -> None:
        machine = live(10, now=100.0)
        machine.heartbeat(beat(10, 101.0), 101.0)
        assert machine.step(101.0) == Wait(101.0 + HEARTBEAT_SILENCE)
        assert isinstance(machine.step(101.1 + HEARTBEAT_SILENCE), Pull)

    def test_pulls_on_demand_are_spaced(self) -> None:
        machine = live(10, now=100.0)
        machine.demand()
        assert machine.step(100.01) == Wait(100.0 + DEMAND_SPACING)
        assert machine.step(100.0 + DEMAND_SPACING) == Pull(change(10).position, "demand")

    def test_a_demand_during_a_pull_asks_for_another(self) -> None:
        machine = live(10, now=100.0)
        machine.pulling(101.0)
        machine.demand()
        machine.pulled(10, 101.0 + SERVICE_AHEAD, 101.0, 101.2)
        assert machine.step(101.2) == Pull(change(10).position, "demand")

    def test_failures_are_retried_ever_more_slowly(self) -> None:
        machine = live(10, now=100.0)
        delays = []
        for _ in range(8):
            machine.failed(200.0)
            step = machine.step(200.0)
            assert isinstance(step, Wait)
            delays.append(step.until - 200.0)
        assert delays == sorted(delays)
        assert delays[-1] == LAST_RETRY
        pull(machine, 300.0, 10)
        machine.demand()
        assert isinstance(machine.step(301.0), Pull)
