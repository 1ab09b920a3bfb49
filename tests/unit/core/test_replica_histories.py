"""Any order, duplication and loss of messages ends where the log ends, and no proof ever flatters."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from authz_sidecar.core.entities import Change, Entity, EntityKey, GroupState, Heartbeat, Position
from authz_sidecar.core.phases import Phase
from authz_sidecar.core.replica import ReplicaMachine
from authz_sidecar.core.steps import Apply, AskHead, Effect, Pull, Resync, Wait
from authz_sidecar.core.wire import Head

KEYS = [EntityKey("group", str(number)) for number in range(4)]
CLOCKS = st.sampled_from([-3600.0, -1.0, 0.0, 1.0, 3600.0])
DELAYS = st.sampled_from([0.0, 0.01, 0.2, 5.0])
PAGE = 3
State = dict[EntityKey, Entity]


@dataclass(frozen=True)
class Trip:
    """One call to the service."""

    there: float = 0.0
    back: float = 0.0
    commits: bool = False
    """Whether a revision is committed between the service's answer and its arrival."""
    cut_after: int | None = None
    """The connection is cut after this many changes."""


class Service:
    """The User service: logs of revisions, one after another, and the messages its relay has published."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.clock_offset = 0.0
        self.epochs = 0
        self.published: list[Change | Heartbeat] = []
        self.new_epoch(0)

    def new_epoch(self, keep: int) -> None:
        self.epochs += 1
        self.epoch = f"{self.epochs:08x}-0000-4000-8000-000000000000"
        kept = self.log[:keep] if self.epochs > 1 else []
        self.log = [Change(replace(old.position, epoch=self.epoch), None, old.entities) for old in kept]
        self.committed_at = [self.now] * keep
        self.oldest = 1

    @property
    def head(self) -> int:
        return len(self.log)

    def wall(self) -> float:
        return self.now + self.clock_offset + 1e6

    def made_at(self) -> str:
        moment = datetime.fromtimestamp(self.wall(), UTC)
        return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def commit(self, keys: frozenset[EntityKey]) -> None:
        revision = self.head + 1
        state = GroupState(frozenset({f"p.{self.epochs}.{revision}"}))
        entities = tuple(Entity(key, revision, state) for key in sorted(keys))
        self.log.append(Change(Position(self.epoch, revision, self.made_at()), None, entities))
        self.committed_at.append(self.now)
        self.published.append(self.log[-1])

    def beat(self) -> Heartbeat:
        return Heartbeat(self.position(self.head), self.wall())

    def position(self, revision: int) -> Position:
        return self.log[revision - 1].position if revision else Position(self.epoch, 0, None)

    def state(self, revision: int) -> State:
        return {entity.key: entity for change in self.log[:revision] for entity in change.entities}

    def knows(self, position: Position) -> bool:
        return (
            position.epoch == self.epoch
            and self.oldest - 1 <= position.revision <= self.head
            and self.position(position.revision) == position
        )


class Histories(RuleBasedStateMachine):
    """Drives one replica through everything the service and the network can do to it."""

    def __init__(self) -> None:
        super().__init__()
        self.service = Service()
        self.machine = ReplicaMachine(feed_interval=0.5, max_staleness=30.0)
        self.copy: State = {}
        self.moves: list[tuple[Position | None, Position]] = []
        self.logs: dict[str, list[Change]] = {}

    @initialize(revisions=st.integers(0, 5), synced=st.sampled_from([True, True, True, False]))
    def start(self, revisions: int, synced: bool) -> None:
        for _ in range(revisions):
            self.service.commit(frozenset(KEYS[:1]))
        self.machine.begin()
        if synced:
            self.do_resync(Trip())
            self.do_pull(Trip())

    # The world

    @rule(seconds=st.sampled_from([0.01, 0.06, 0.6, 4.0, 12.0, 40.0]))
    def time_passes(self, seconds: float) -> None:
        self.service.now += seconds

    @rule(
        keys=st.lists(st.sampled_from(KEYS), min_size=1, max_size=2 * PAGE),
        seconds=st.sampled_from([0.0, 5.0]),
    )
    def revisions_are_committed_and_a_heartbeat_sent(self, keys: list[EntityKey], seconds: float) -> None:
        for key in keys:
            self.service.commit(frozenset([key]))
        self.service.now += seconds
        self.the_relay_sends_a_heartbeat()

    @rule(keys=st.frozensets(st.sampled_from(KEYS), min_size=1))
    def a_revision_is_committed(self, keys: frozenset[EntityKey]) -> None:
        self.service.commit(keys)

    @rule()
    def the_relay_sends_a_heartbeat(self) -> None:
        service = self.service
        service.published.append(service.beat())

    @rule(disaster=st.sampled_from(["restored", "truncated", "clock"]), lost=st.integers(0, 3), clock=CLOCKS)
    def disaster_strikes(self, disaster: str, lost: int, clock: float) -> None:
        service = self.service
        if disaster == "restored":
            service.new_epoch(max(0, service.head - lost))
        elif disaster == "truncated":
            service.oldest = service.head + 1
        else:
            # Heartbeats that are under way are lost with it: a clock set backwards while an old heartbeat is
            # held up can flatter until the next pull, a bound that the design accepts.
            service.clock_offset = clock
            service.published = [each for each in service.published if isinstance(each, Change)]
            self.do_pull(Trip())

    # The network

    @precondition(lambda self: self.service.published)
    @rule(place=st.integers(0, 5), from_the_end=st.booleans(), again=st.booleans())
    def a_message_arrives(self, place: int, from_the_end: bool, again: bool) -> None:
        """Any of those published, in any order; some arrive again, some never do."""
        published = self.service.published
        index = min(place, len(published) - 1)
        index = -1 - index if from_the_end else index
        message = published[index] if again else published.pop(index)
        if isinstance(message, Change):
            self.take(self.machine.receive(message, self.service.now))
        else:
            self.take(self.machine.heartbeat(message, self.service.now))

    @rule()
    def an_unreadable_message_arrives(self) -> None:
        self.machine.malformed()

    @rule(seconds=DELAYS, commits=st.booleans())
    def a_heartbeat_is_held_up(self, seconds: float, commits: bool) -> None:
        service = self.service
        beat = service.beat()
        if commits:
            service.commit(frozenset(KEYS[:2]))
        service.now += seconds
        self.take(self.machine.heartbeat(beat, service.now))

    @rule(trip=st.builds(Trip, DELAYS, DELAYS, st.booleans(), st.none() | st.integers(0, PAGE)))
    def the_next_step_is_done(self, trip: Trip) -> None:
        step = self.machine.step(self.service.now)
        if isinstance(step, Pull):
            self.do_pull(trip)
        elif isinstance(step, Resync):
            self.do_resync(trip)
        elif isinstance(step, AskHead):
            self.machine.asking(self.service.now)
            head = Head(self.service.epoch, self.service.head, self.service.now)
            self.service.now += trip.back
            self.machine.head_answered(head, self.service.now)

    def do_pull(self, trip: Trip) -> None:
        service, after = self.service, self.machine.applied
        if after is None:
            return
        sent_at = service.now
        self.machine.pulling(sent_at)
        service.now += trip.there
        if not service.knows(after):
            self.machine.history_gone(service.now)
            return
        head = service.head
        wall = service.wall()
        answer = service.log[after.revision : after.revision + PAGE]
        self.answer_travels(trip)
        for change in answer[: trip.cut_after]:
            self.take(self.machine.receive(change, service.now))
        if trip.cut_after is None:
            self.machine.pulled(head, wall, sent_at, service.now)
        else:
            self.machine.failed(service.now)

    def do_resync(self, trip: Trip) -> None:
        """A snapshot; or, where connections are cut, a store that another process left a little behind."""
        service = self.service
        sent_at = service.now
        service.now += trip.there
        head = service.head
        revision = max(service.oldest - 1, 0, head - (trip.cut_after or 0))
        position = service.position(revision)
        self.copy = service.state(revision)
        self.answer_travels(trip)
        self.moves.append((None, position))
        self.take(self.machine.restart(position, head, sent_at, service.now))

    def answer_travels(self, trip: Trip) -> None:
        if trip.commits:
            self.service.commit(frozenset(KEYS[1:3]))
        self.service.now += trip.back

    def take(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Apply):
                before = self.moves[-1][1]
                self.moves.append((before, effect.change.position))
                self.copy.update((entity.key, entity) for entity in effect.change.entities)

    # What must always hold

    @invariant()
    def applied_moves_by_one_or_to_a_snapshot(self) -> None:
        for before, after in self.moves[-5:]:
            assert before is None or (after.epoch, after.revision) == (before.epoch, before.revision + 1)
        assert self.machine.applied == (self.moves[-1][1] if self.moves else None)

    @invariant()
    def the_copy_is_the_log_at_applied(self) -> None:
        applied = self.machine.applied
        if applied is not None and applied.epoch == self.service.epoch:
            assert self.copy == self.service.state(applied.revision)

    @invariant()
    def staleness_never_flatters(self) -> None:
        """Nothing was committed after `applied` and longer ago than the staleness that is claimed."""
        applied, service = self.machine.applied, self.service
        staleness = self.machine.proofs.staleness(service.now)
        if applied is None or staleness is None or applied.epoch != service.epoch:
            return
        if applied.revision < service.head:
            assert staleness >= service.now - service.committed_at[applied.revision] - 1e-3

    def teardown(self) -> None:
        """With the network healed it ends at the head, LIVE, with the log's own state."""
        for _ in range(200):
            self.the_next_step_is_done(Trip())
            if isinstance(step := self.machine.step(self.service.now), Wait):
                if self.settled():
                    break
                self.service.now = step.until
        assert self.settled()
        assert self.copy == self.service.state(self.service.head)
        assert self.machine.phase is Phase.LIVE

    def settled(self) -> bool:
        service = self.service
        head = service.position(service.head)
        staleness = self.machine.proofs.staleness(service.now)
        return self.machine.applied == head and staleness is not None and staleness < 1.0


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=200, stateful_step_count=50)
