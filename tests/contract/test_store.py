"""One suite for every replica store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest

from authz_sidecar.core.entities import Change, Entity, EntityKey, GroupState, Position, UserState
from authz_sidecar.core.errors import StoreUnavailable
from authz_sidecar.replica.memory_store import MemoryStore
from authz_sidecar.replica.redis_store import RedisStore
from authz_sidecar.replica.store import Copy, Outcome, Store
from lab.simulation.plan import stream
from lab.simulation.scheduler import Scheduler
from lab.simulation.store import StoreClient, StoreServer
from lab.stack.servers import Redis, RedisCluster, RedisSentinel

OURS = "3f2a9c1b-0000-4000-8000-000000000001"
OTHER = "99999999-0000-4000-8000-000000000002"
ALICE, BOB, STAFF = EntityKey("user", "1"), EntityKey("user", "2"), EntityKey("group", "1")


@pytest.fixture(scope="module")
def redis_cluster() -> Iterator[RedisCluster]:
    with RedisCluster() as server:
        yield server


@pytest.fixture(scope="module")
def redis_sentinel(redis_server: Redis) -> Iterator[RedisSentinel]:
    with RedisSentinel(redis_server) as server:
        yield server


class Simulated(StoreClient):
    """The simulator's store, without its network."""

    def __init__(self) -> None:
        self._server = StoreServer(Scheduler(stream(1, "scheduler")), stream(1, "store"))
        self._random = stream(1, "client")

    async def _call(self, work: Callable[[], Any]) -> Any:
        return work()


@pytest.fixture(params=["memory", "simulated", "redis_server", "redis_cluster", "redis_sentinel"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    made: Store
    if request.param == "memory":
        made = MemoryStore()
    elif request.param == "simulated":
        made = Simulated()
    else:
        made = RedisStore(request.getfixturevalue(request.param).url, uuid4().hex)
    yield made
    await made.close()


def position(revision: int, epoch: str = OURS) -> Position:
    return Position(epoch, revision, f"2026-11-22T09:00:00.{revision:06}Z")


def group(revision: int, key: EntityKey = STAFF) -> Entity:
    return Entity(key, revision, GroupState(frozenset({f"p.{revision}", "ö.\x00 ' \u2028"})))


def change(revision: int, *entities: Entity, epoch: str = OURS) -> Change:
    at = position(revision).at
    assert at is not None
    return Change(Position(epoch, revision, at), None, entities or (group(revision),))


alice = Entity(ALICE, 3, UserState(True, False, frozenset({"a.b"}), frozenset({"1"}), 2))


async def load(
    store: Store, revision: int, *entities: Entity, epoch: str = OURS, replaces: str | None = None
) -> Copy:
    generation = await store.stage()
    await store.fill(generation, entities)
    assert await store.switch(generation, position(revision, epoch), replaces)
    return Copy(generation, position(revision, epoch))


async def test_a_new_store_holds_nothing_usable(store: Store) -> None:
    assert await store.current() is None
    assert await store.read([ALICE]) is None


async def test_what_was_loaded_can_be_read(store: Store) -> None:
    copy = await load(store, 10, alice, group(4))
    reading = await store.read([ALICE, BOB, STAFF])
    assert reading is not None
    assert reading.copy == copy
    assert reading.entities == (alice, None, group(4))


async def test_a_position_before_the_first_revision(store: Store) -> None:
    generation = await store.stage()
    assert await store.switch(generation, Position(OURS, 0, None), None)
    assert await store.current() == Copy(generation, Position(OURS, 0, None))
    assert await store.apply(generation, Position(OURS, 0, None), change(1)) is Outcome.APPLIED


@pytest.mark.parametrize("key", ["@epoch", "1 2", "a:b", "ключ", "\x00", "u:1", "*", "x" * 255])
async def test_keys_are_any_text(store: Store, key: str) -> None:
    odd = Entity(EntityKey("group", key), 1, GroupState(frozenset()))
    await load(store, 10, odd)
    reading = await store.read([odd.key, EntityKey("user", key)])
    assert reading is not None
    assert reading.entities == (odd, None)


async def test_a_revision_is_applied_whole(store: Store) -> None:
    copy = await load(store, 10, alice, group(4))
    gone = Entity(ALICE, 11, None)
    assert await store.apply(copy.generation, position(10), change(11, gone, group(11))) is Outcome.APPLIED
    reading = await store.read([ALICE, STAFF])
    assert reading is not None
    assert reading.copy == Copy(copy.generation, position(11))
    assert reading.entities == (gone, group(11))


async def test_more_groups_than_one_user_should_have_are_read_at_once(store: Store) -> None:
    entities = [group(4, EntityKey("group", str(number))) for number in range(10_000)]
    generation = await store.stage()
    for start in range(0, len(entities), 1_000):
        await store.fill(generation, entities[start : start + 1_000])
    assert await store.switch(generation, position(10), None)
    absent = [EntityKey("group", "none"), *(EntityKey("user", str(number)) for number in range(10))]
    reading = await store.read([absent[0], *(entity.key for entity in entities), *absent[1:]])
    assert reading is not None
    assert list(reading.entities) == [None, *entities, *[None] * 10]


async def test_many_entities_in_one_revision(store: Store) -> None:
    copy = await load(store, 10)
    entities = [group(11, EntityKey("group", str(number))) for number in range(1_500)]
    assert await store.apply(copy.generation, position(10), change(11, *entities)) is Outcome.APPLIED
    reading = await store.read([entity.key for entity in entities])
    assert reading is not None
    assert list(reading.entities) == entities


@pytest.mark.parametrize(
    ("before", "new", "outcome"),
    [
        (position(9), change(10), Outcome.DUPLICATE),
        (position(3), change(4), Outcome.DUPLICATE),
        (position(11), change(12), Outcome.GAP),
        (position(10), change(12), Outcome.GAP),
        (position(10, OTHER), change(11, epoch=OTHER), Outcome.GAP),
        (position(4, OTHER), change(5, epoch=OTHER), Outcome.GAP),
        (Position(OURS, 10, "2026-11-22T10:00:00Z"), change(11), Outcome.GAP),
    ],
    ids=["same", "older", "later", "skipping", "other epoch", "older of other epoch", "split history"],
)
async def test_any_other_revision_changes_nothing(
    store: Store, before: Position, new: Change, outcome: Outcome
) -> None:
    copy = await load(store, 10, group(4))
    assert await store.apply(copy.generation, before, new) is outcome
    reading = await store.read([STAFF])
    assert reading is not None
    assert reading.copy == copy
    assert reading.entities == (group(4),)


async def test_a_generation_that_is_not_current_is_not_written(store: Store) -> None:
    old = await load(store, 10, group(4))
    new = await load(store, 10, group(4), replaces=old.generation)
    assert await store.apply(old.generation, position(10), change(11)) is Outcome.NOT_CURRENT
    assert await store.current() == new


async def test_concurrent_writers_apply_each_revision_once(store: Store) -> None:
    copy = await load(store, 10)
    outcomes = await asyncio.gather(
        *(store.apply(copy.generation, position(10), change(11)) for _ in range(20))
    )
    assert outcomes.count(Outcome.APPLIED) == 1
    assert outcomes.count(Outcome.DUPLICATE) == 19


async def test_one_at_a_time_has_the_turn_to_load(store: Store) -> None:
    if isinstance(store, MemoryStore):
        pytest.skip("it is not shared")
    turns = await asyncio.gather(*(store.claim(30.0) for _ in range(20)))
    assert turns.count(True) == 1


async def test_a_turn_to_load_ends(store: Store) -> None:
    if isinstance(store, Simulated):
        pytest.skip("its time stands still here")
    assert await store.claim(0.001)
    async with asyncio.timeout(30):
        while not await store.claim(30.0):  # noqa: ASYNC110 (no store says when a turn has ended)
            await asyncio.sleep(0.001)


async def test_a_turn_to_load_is_given_back(store: Store) -> None:
    if isinstance(store, Simulated):
        pytest.skip("its time stands still here")
    assert await store.claim(600.0)
    await store.release(0.001)
    async with asyncio.timeout(30):
        while not await store.claim(30.0):  # noqa: ASYNC110 (no store says when a turn has ended)
            await asyncio.sleep(0.001)


class TestSwitch:
    async def test_a_staged_generation_is_not_read(self, store: Store) -> None:
        copy = await load(store, 10, group(4))
        staged = await store.stage()
        await store.fill(staged, [group(9)])
        assert await store.current() == copy

    @pytest.mark.parametrize(
        ("revision", "epoch", "switched"),
        [(9, OURS, False), (10, OURS, True), (11, OURS, True), (9, OTHER, False), (99, OTHER, False)],
    )
    async def test_the_present_copy_gives_way_only_to_its_own_future(
        self, store: Store, revision: int, epoch: str, switched: bool
    ) -> None:
        present = await load(store, 10, group(4))
        staged = await store.stage()
        assert await store.switch(staged, position(revision, epoch), None) is switched
        expected = Copy(staged, position(revision, epoch)) if switched else present
        assert await store.current() == expected

    @pytest.mark.parametrize(("revision", "epoch"), [(3, OURS), (3, OTHER), (99, OTHER)])
    async def test_a_copy_known_to_be_useless_gives_way(
        self, store: Store, revision: int, epoch: str
    ) -> None:
        useless = await load(store, 10, group(4))
        assert await load(store, revision, epoch=epoch, replaces=useless.generation) == await store.current()

    async def test_only_that_one_gives_way(self, store: Store) -> None:
        useless = await load(store, 10)
        better = await load(store, 20, replaces=useless.generation)
        staged = await store.stage()
        assert not await store.switch(staged, position(5), useless.generation)
        assert await store.current() == better

    async def test_switching_twice_is_switching_once(self, store: Store) -> None:
        """As when the answer to the first call was lost."""
        copy = await load(store, 10)
        assert await store.switch(copy.generation, copy.position, None)
        assert await store.current() == copy

    async def test_a_discarded_generation_cannot_be_filled_nor_switched_to(self, store: Store) -> None:
        staged = await store.stage()
        await store.discard(staged)
        with pytest.raises(StoreUnavailable):
            await store.fill(staged, [group(1)])
        with pytest.raises(StoreUnavailable):
            await store.switch(staged, position(1), None)
        assert await store.current() is None


class TestRepair:
    async def test_everything_is_scanned(self, store: Store) -> None:
        entities = {group(1, EntityKey("group", str(number))) for number in range(2_500)} | {alice}
        copy = await load(store, 10, *entities)
        scanned = [entity async for part in store.scan(copy.generation) for entity in part]
        assert set(scanned) == entities

    async def test_entities_are_overwritten(self, store: Store) -> None:
        copy = await load(store, 10, group(9), alice)
        gone = Entity(ALICE, 10, None)
        assert await store.repair(copy, [group(4), gone])
        reading = await store.read([STAFF, ALICE])
        assert reading is not None
        assert reading.copy == copy
        assert reading.entities == (group(4), gone)

    async def test_not_once_the_copy_has_moved(self, store: Store) -> None:
        copy = await load(store, 10, group(4))
        await store.apply(copy.generation, position(10), change(11))
        assert not await store.repair(copy, [group(4)])
        reading = await store.read([STAFF])
        assert reading is not None
        assert reading.entities == (group(11),)
