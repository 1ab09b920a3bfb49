"""A Redis that answers and is of no use: it takes nothing, or another one has taken its place."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import pytest
from redis.asyncio import Redis as Client

from authz_sidecar.core.entities import Change, Entity, Position
from authz_sidecar.core.errors import StoreUnavailable
from authz_sidecar.core.verdicts import Code
from authz_sidecar.replica import store_sync
from authz_sidecar.replica.memory_store import MemoryStore
from authz_sidecar.replica.redis_store import RedisStore
from authz_sidecar.replica.store import Copy, Outcome, Store
from lab.campaign.link import Network, Server
from lab.stack.servers import Redis

ADD, CHANGE = "students.add_student", "students.change_student"
Start = Callable[..., Awaitable[Any]]


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Much is tried in a short time."""
    monkeypatch.setattr(store_sync, "LAST_RETRY", 0.01)
    monkeypatch.setattr(store_sync, "CHECK_INTERVAL", 0.01)
    monkeypatch.setattr(store_sync, "AFTER_LOAD", 0.001)


@pytest.fixture
def network() -> Iterator[Network]:
    made = Network()
    yield made
    made.close()


@pytest.fixture
def retired(redis_server: Redis) -> Iterator[Redis]:
    """The one that `redis_server` is to take the place of."""
    server = Redis()
    server.password = redis_server.password
    with server:
        yield server


async def demote(server: Redis, primary: tuple[str, str] = ("127.0.0.1", "1")) -> None:
    """It is a replica from now on: it answers as before and takes nothing."""
    client = Client.from_url(server.url)
    await client.replicaof(*primary)
    await client.aclose()


async def promote(server: Redis) -> None:
    await demote(server, ("NO", "ONE"))


class Counting(RedisStore):
    """Knows how often it was tried to write."""

    writes = 0

    async def apply(self, generation: str, before: Position, change: Change) -> Outcome:
        self.writes += 1
        return await super().apply(generation, before, change)

    async def claim(self, seconds: float) -> bool:
        self.writes += 1
        return await super().claim(seconds)


class Full(Counting):
    """It takes what is small."""

    async def fill(self, generation: str, entities: Sequence[Entity]) -> None:
        raise StoreUnavailable("Redis: it answers OOM command not allowed")


class Forgetful(MemoryStore):
    """It takes everything and keeps nothing, as a Redis with too little memory does."""

    looks = 0

    async def current(self) -> Copy | None:
        self.looks += 1
        return None


async def test_failed_over_behind_its_address(
    start: Start, service: Any, network: Network, retired: Redis, redis_server: Redis, redis_prefix: str
) -> None:
    """Connections to the server that was retired stay, as they do when only an address moves."""
    port = network.add("redis", retired.port)
    sidecar = await start(RedisStore(retired.url.replace(f":{retired.port}/", f":{port}/"), redis_prefix))
    network.links["redis"].server = Server("127.0.0.1", redis_server.port)
    await demote(retired)
    service.user("alice")
    await sidecar.until_decided("alice", CHANGE, Code.PERMISSION_DENIED)
    await sidecar.until(lambda: sidecar.store_at_head)


async def test_a_store_that_has_become_read_only_is_down_until_it_takes_changes(
    start: Start, service: Any, retired: Redis, redis_prefix: str
) -> None:
    store = Counting(retired.url, redis_prefix)
    sidecar = await start(store)
    await demote(retired)
    tried = store.writes
    service.user("alice")
    await sidecar.until_decided("alice", CHANGE, Code.PERMISSION_DENIED)
    await sidecar.until(lambda: store.writes > tried + 10)
    assert (sidecar.observer.seen["store up"], sidecar.observer.seen["store down"]) == (1, 1)
    await promote(retired)
    await sidecar.until(lambda: sidecar.store_at_head)
    assert sidecar.observer.seen["store up"] == 2


async def test_no_snapshot_for_a_store_that_was_read_only_from_the_start(
    start: Start, service: Any, retired: Redis, redis_prefix: str
) -> None:
    await demote(retired)
    store = Counting(retired.url, redis_prefix)
    sidecar = await start(store, live=False)
    await sidecar.until_decided("alice", CHANGE, Code.GRANTED)
    await sidecar.until(lambda: store.writes > 10)
    assert service.calls["snapshot"] == 1, "its head alone was read, to know where to stand"
    await promote(retired)
    await sidecar.until(lambda: sidecar.store_at_head)
    assert service.calls["snapshot"] == 2


async def test_one_snapshot_for_a_store_that_has_no_room_for_it_however_many_share_it(
    start: Start, service: Any, redis_server: Redis, redis_prefix: str
) -> None:
    stores = [Full(redis_server.url, redis_prefix) for _ in range(3)]
    sidecars = [await start(store, live=False) for store in stores]
    for sidecar in sidecars:
        await sidecar.until_decided("alice", CHANGE, Code.GRANTED)
    # The one that has had its turn writes no more; the others go on asking for theirs.
    await sidecars[0].until(lambda: sorted(store.writes for store in stores)[1] > 10)
    assert sum(sidecar.observer.seen["resync store_empty"] for sidecar in sidecars) == 1
    assert service.calls["snapshot"] == len(sidecars) + 1, "their heads, and one to be loaded"


async def test_a_store_that_keeps_nothing_is_loaded_twice_and_then_seldom(start: Start, service: Any) -> None:
    store = Forgetful()
    sidecar = await start(store, live=False)
    await sidecar.until_decided("alice", CHANGE, Code.GRANTED)
    await sidecar.until(lambda: sidecar.observer.seen["resync store_empty"] >= 2)
    looked = store.looks
    await sidecar.until(lambda: store.looks > looked + 10)
    assert sidecar.observer.seen["resync store_empty"] == 2
    assert (await sidecar.decide("bob", ADD)).code is Code.GRANTED


async def test_a_cut_snapshot_is_not_asked_for_again_at_once(
    start: Start, store: Store, service: Any
) -> None:
    service.broken_snapshots = 1_000
    sidecar = await start(store, live=False)
    await sidecar.until_decided("alice", CHANGE, Code.GRANTED)
    await sidecar.until(lambda: sidecar.observer.seen["resync store_empty"])
    calls = service.calls["snapshot"]
    for number in range(10):
        service.user(f"new {number}", ADD)
        await sidecar.until_decided(f"new {number}", ADD, Code.GRANTED)
    assert service.calls["snapshot"] == calls
