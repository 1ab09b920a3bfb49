"""Whatever becomes of its line, a worker stands where the follower stood, with what was true there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz_sidecar.core.entities import Change, Entity, EntityKey, GroupState, Position
from authz_sidecar.core.errors import MalformedMessage
from authz_sidecar.core.naming import Fields
from authz_sidecar.core.proofs import UNBOUNDED, Proofs
from authz_sidecar.feed import feed, messages
from authz_sidecar.feed.feed import Feed, Link
from authz_sidecar.feed.line import MAX_UNREAD, Line
from authz_sidecar.feed.messages import Lines, Message
from authz_sidecar.feed.mirror import Mirror
from authz_sidecar.replica.near_cache import NearCache
from authz_sidecar.replica.waiting import MAX_WAITING_OF_ONE, Arrival

EPOCHS = ("3f2a9c1b-0000-4000-8000-000000000001", "99999999-0000-4000-8000-000000000002")
FIELDS: tuple[Fields, ...] = (None, ("pk", "email"))
"""By which users are named in each."""
NAMES = "abc"


class Transport:
    """One direction of a line: what was written and is not yet read."""

    def __init__(self) -> None:
        self.unread = bytearray()
        self.clogged = False
        self.cut = False

    def write(self, data: bytes) -> None:
        self.unread += data

    def get_write_buffer_size(self) -> int:
        return MAX_UNREAD + 1 if self.clogged else 0

    def is_closing(self) -> bool:
        return self.cut

    def abort(self) -> None:
        self.cut = True


class World:
    """A follower, one worker, and what was true at each position."""

    def __init__(self) -> None:
        self.near = NearCache(100)
        self.proofs = Proofs()
        self.truth: dict[Position, dict[str, Entity]] = {}
        self.named: dict[str, Fields] = {}
        self.proven: dict[float, Position] = {}
        self.instant = 0.0
        self.moved: Callable[[], None] = lambda: None
        self.waiting = self
        self.answers: list[bool] = []
        """Of each answer to the worker: whether what it asked for is at hand there now."""
        self.feed = Feed(cast(Any, self), {}, {})
        self.mirror = Mirror(100, UNBOUNDED, UNBOUNDED)
        self.stand(0)
        self.connect()

    def watch(self, changed: Callable[[], None], _proved: Callable[[], None]) -> None:
        self.moved = changed

    # What becomes of the follower

    def stand(self, epoch: int) -> None:
        revision = 1 + max((each.revision for each in self.truth), default=0)
        position = Position(EPOCHS[epoch], revision, f"2026-11-22T09:00:00.{revision:06}Z")
        self.truth[position] = {name: _group(name, revision) for name in NAMES}
        self.near.restart(position, FIELDS[epoch])
        self.named[position.epoch] = FIELDS[epoch]
        self.proofs.restart()
        self.moved()

    def change(self, names: str) -> None:
        before = self.near.position
        assert before is not None
        revision = before.revision + 1
        position = Position(before.epoch, revision, f"2026-11-22T09:00:00.{revision:06}Z")
        changed = [_group(name, revision) for name in sorted(set(names))]
        self.truth[position] = self.truth[before] | {each.key.key: each for each in changed}
        self.near.apply(Change(position, None, tuple(changed), before.at))
        self.moved()

    def prove(self, *, whole: bool = True) -> None:
        position = self.near.position
        assert position is not None
        self.instant += 1.0
        self.proven[self.instant] = position
        self.proofs.prove(position.revision, self.instant, position, whole=whole)
        self.moved()

    def prove_losses(self) -> None:
        self.prove(whole=False)

    async def for_entities(self, _keys: tuple[EntityKey, ...], _sub: str) -> bool:
        """What it does not hold it finds where it stands."""
        here = self.near.position
        return here is not None and self.near.admit(list(self.truth[here].values()), here)

    # What becomes of the line

    def leave(self) -> None:
        for link in list(self.feed.links):
            link.line().connection_lost(None)

    def connect(self) -> None:
        self.leave()
        self.link, self.transport = Link(self.feed), Transport()
        self.link.line().connection_made(cast(asyncio.BaseTransport, self.transport))
        self.reading = Lines()
        near = self.mirror.near
        hello = messages.hello(1, 1, (near.position, near.subject_fields), {})
        self.link.line().data_received(messages.encode(hello))

    def read(self, size: int) -> None:
        data, self.transport.unread = self.transport.unread[:size], self.transport.unread[size:]
        for message in self.reading.feed(bytes(data)):
            if message["type"] == "answer":
                self.answered(message["answer"])
            else:
                self.mirror.take(message)

    def answered(self, answer: Message) -> None:
        if "arrival" in answer:
            self.answers.append(answer["arrival"] == Arrival.HERE.name)
            return
        read_at, found = messages.parse_entities(answer)
        known = answer["known"] and read_at is not None
        self.answers.append(known and self.mirror.near.admit(found, cast(Position, read_at)))

    async def ask(self, what: str = "entities") -> None:
        """For everything there is, or for a revision."""
        keys = messages.keys_of(tuple(EntityKey("group", name) for name in NAMES))
        question = {"what": what, "keys": keys, "sub": "1", "revision": "3f2a9c1b:9", "asked_at": 0.0}
        self.link.line().data_received(messages.encode({"type": "question", "id": 1, "question": question}))
        await self.settle()

    async def settle(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)

    def fill(self) -> None:
        """As an answer about entities does."""
        here = self.mirror.near.position
        if here is not None:
            assert self.mirror.near.admit(list(self.truth[here].values()), here)

    def holds(self) -> None:
        here = self.mirror.near.position
        assert here is None or self.mirror.near.subject_fields == self.named[here.epoch]
        for name in NAMES if here is not None else ():
            assert here is not None
            found = self.mirror.near.entity(EntityKey("group", name))
            assert found in (None, self.truth[here][name])
        proofs = self.mirror.proofs
        for proven_at in (proofs.proven_at, proofs.losses_proven_at):
            if proven_at is not None:
                assert here is not None
                assert self.proven[proven_at].revision <= here.revision, "no proof is of more than is here"


def test_a_worker_is_told_when_users_are_named_otherwise() -> None:
    """In the same epoch, at the same revision: the User service says it since it is another version."""
    world = World()
    world.read(10_000)
    here = world.near.position
    assert here is not None
    world.fill()
    world.named[here.epoch] = FIELDS[1]
    world.near.restart(here, FIELDS[1])
    world.moved()
    world.read(10_000)
    assert (world.mirror.near.position, world.mirror.near.subject_fields) == (here, FIELDS[1])
    world.connect()
    world.read(10_000)
    world.holds()


def _group(name: str, revision: int) -> Entity:
    return Entity(EntityKey("group", name), revision, GroupState(frozenset({f"p.{revision}"})))


STEPS = st.one_of(
    st.tuples(st.just("change"), st.text(NAMES, min_size=1, max_size=3)),
    st.tuples(st.just("stand"), st.sampled_from([0, 1])),
    st.tuples(st.just("read"), st.integers(1, 400)),
    st.tuples(st.sampled_from(["prove", "prove_losses", "connect", "fill", "clog", "forget"])),
)


@given(st.lists(STEPS, max_size=40))
def test_a_worker_is_never_anywhere_else(steps: list[tuple[Any, ...]]) -> None:
    world = World()
    for name, *arguments in steps:
        if name == "clog":
            world.transport.clogged = True
        elif name == "forget":
            world.near.forget([])
        else:
            getattr(world, name)(*arguments)
        world.holds()
    world.connect()
    world.prove()
    world.read(1_000_000)
    world.holds()
    assert world.mirror.near.position == world.near.position
    assert world.mirror.proofs.proven_at == world.proofs.proven_at
    assert world.mirror.proofs.losses_proven_at == world.proofs.losses_proven_at


def test_a_worker_is_told_what_was_proved_of_losses_alone() -> None:
    world = World()
    world.prove()
    world.prove_losses()
    world.read(10_000)
    assert (world.mirror.proofs.proven_at, world.mirror.proofs.losses_proven_at) == (1.0, 2.0)


def test_who_comes_back_soon_keeps_what_it_has() -> None:
    world = World()
    world.read(10_000)
    world.fill()
    world.connect()
    world.change("a")
    world.read(10_000)
    assert len(world.mirror.near) == len(NAMES)


def test_who_comes_to_a_follower_that_has_proved_nothing_yet_keeps_what_it_has() -> None:
    """One that has taken the place of another: what was proved to that one goes on being so."""
    world = World()
    world.prove()
    world.read(10_000)
    world.fill()
    world.leave()
    world.stand(0)
    world.connect()
    world.read(10_000)
    assert len(world.mirror.near) == len(NAMES)
    assert world.mirror.proofs.proven_at == 1.0
    world.prove()
    world.read(10_000)
    assert world.mirror.near.position == world.near.position
    assert world.mirror.proofs.proven_at == 2.0


def taken_over(world: World) -> None:
    """By a new follower, which stands further on and has proved nothing yet."""
    world.prove()
    world.read(10_000)
    world.leave()
    world.stand(0)
    world.connect()


async def test_a_new_follower_answers_a_worker_when_both_stand_at_the_same_place() -> None:
    """Before, what it read would be of a place that the worker does not know, which then refused for it."""
    world = World()
    taken_over(world)
    await world.ask()
    world.read(10_000)
    assert world.answers == []
    world.prove()
    await world.settle()
    world.read(10_000)
    assert world.answers == [True]
    assert len(world.mirror.near) == len(NAMES)


async def test_what_a_new_follower_reads_where_the_worker_has_been_is_of_use_at_once() -> None:
    """It stands where the store does, which may be behind."""
    world = World()
    world.prove()
    world.read(10_000)
    behind = world.near.position
    assert behind is not None
    world.change("a")
    world.read(10_000)
    world.leave()
    world.near.restart(behind, FIELDS[0])
    world.proofs.restart()
    world.connect()
    await world.ask()
    world.read(10_000)
    assert world.answers == [True]


async def test_one_user_does_not_take_the_places_of_all_who_wait_for_a_new_follower() -> None:
    world = World()
    taken_over(world)
    for _ in range(2 * MAX_WAITING_OF_ONE):
        await world.ask("revision")
    world.read(100_000)
    assert world.answers == [False] * MAX_WAITING_OF_ONE


async def test_nobody_waits_for_ever_for_a_follower_that_can_prove_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(feed, "FILL_TIMEOUT", 0.0)
    world = World()
    taken_over(world)
    await world.ask()
    world.read(10_000)
    assert world.answers == [False]


@pytest.mark.parametrize("what", ["stand", "forget"])
def test_what_a_follower_finds_wrong_later_is_told_at_once(what: str) -> None:
    world = World()
    world.prove()
    world.read(10_000)
    world.fill()
    if what == "stand":
        world.stand(0)
    else:
        world.leave()
        world.near.forget([])
        world.proofs.restart()
        world.connect()
    world.read(10_000)
    assert len(world.mirror.near) == 0
    assert world.mirror.proofs.proven_at is None


def test_what_the_store_had_wrong_is_forgotten_by_workers_too() -> None:
    world = World()
    world.read(10_000)
    world.fill()
    world.near.forget([EntityKey("group", "a")])
    world.prove()
    world.read(10_000)
    assert len(world.mirror.near) == 0


def test_a_slow_reader_is_cut_off() -> None:
    world = World()
    world.transport.clogged = True
    world.change("a")
    assert world.transport.cut


def other(world: World, revision: int, epoch: int = 0, previous_at: str | None = None) -> Message:
    position = Position(EPOCHS[epoch], revision, "2026-11-22T09:00:01Z")
    return messages.change(Change(position, None, (_group("a", revision),), previous_at))


@pytest.mark.parametrize(
    ("revision", "epoch", "previous_at"),
    [(1, 0, None), (3, 0, None), (2, 1, None), (2, 0, "2026-11-22T10:00:00Z")],
    ids=["again", "a gap", "another history", "another branch"],
)
def test_what_does_not_follow_is_not_taken(revision: int, epoch: int, previous_at: str | None) -> None:
    world = World()
    world.read(10_000)
    with pytest.raises(MalformedMessage):
        world.mirror.take(other(world, revision, epoch, previous_at))
    assert world.mirror.near.position == world.near.position


@pytest.mark.parametrize("message", [{"type": "proof", "proven_at": 1.0, "audited_at": None}, {"type": "?"}])
def test_what_makes_no_sense_is_not_taken(message: Message) -> None:
    with pytest.raises(MalformedMessage):
        Mirror(100, UNBOUNDED, UNBOUNDED).take(message)


async def nothing(_question: Message) -> Message:
    return {}


@given(
    st.lists(st.dictionaries(st.text(), st.text() | st.floats(allow_nan=False, allow_infinity=False))),
    st.data(),
)
def test_messages_arrive_whole_however_they_are_cut(made: list[dict[str, Any]], data: st.DataObject) -> None:
    sent = [{**each, "type": "x"} for each in made]
    stream = b"".join(map(messages.encode, sent))
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)), max_size=5)))
    lines, found = Lines(), []
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += lines.feed(stream[begin:end])
    assert found == sent


@pytest.mark.parametrize("data", [b"{}\n", b"[]\n", b"no\n", b'{"type": 1}\n', b"\xff\n"])
def test_a_line_that_is_not_understood_is_cut(data: bytes) -> None:
    lost = SimpleNamespace(transport=Transport())
    line = Line(lambda _: None, nothing, lambda: None)
    line.connection_made(cast(asyncio.BaseTransport, lost.transport))
    line.data_received(data)
    assert lost.transport.cut
