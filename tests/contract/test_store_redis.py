"""What only Redis can do to a copy: lose it, all or in part, or not answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from redis.asyncio import Redis as Client

from authz_sidecar.core.entities import Change, Entity, EntityKey, GroupState, Position
from authz_sidecar.core.errors import StoreUnavailable
from authz_sidecar.replica.redis_store import RedisStore, connect
from authz_sidecar.replica.store import Outcome
from lab.stack.servers import Redis

STAFF = Entity(EntityKey("group", "1"), 4, GroupState(frozenset({"a.b"})))
TEN = Position("3f2a9c1b-0000-4000-8000-000000000001", 10, "2026-11-22T09:00:00.000010Z")
ELEVEN = Change(Position(TEN.epoch, 11, "2026-11-22T09:00:00.000011Z"), None, (STAFF,))


@pytest.fixture
def prefix() -> str:
    return uuid4().hex


@pytest.fixture
async def store(redis_server: Redis, prefix: str) -> AsyncIterator[RedisStore]:
    made = RedisStore(redis_server.url, prefix)
    yield made
    await made.close()


@pytest.fixture
async def client(redis_server: Redis) -> AsyncIterator[Client]:
    made = Client.from_url(redis_server.url)
    yield made
    await made.aclose()


@pytest.fixture
async def generation(store: RedisStore) -> str:
    name = await store.stage()
    await store.fill(name, [STAFF])
    assert await store.switch(name, TEN, None)
    return name


LOSSES = {
    "everything": "*",
    "the current name": "*current",
    "the generation": "*gen:*",
}


@pytest.mark.parametrize("pattern", LOSSES.values(), ids=LOSSES.keys())
async def test_what_is_lost_is_not_empty(
    store: RedisStore, client: Client, prefix: str, generation: str, pattern: str
) -> None:
    for key in await client.keys(f"{{{prefix}}}{pattern}"):
        await client.delete(key)
    assert await store.current() is None
    assert await store.read([STAFF.key]) is None
    assert await store.apply(generation, TEN, ELEVEN) is Outcome.NOT_CURRENT
    assert await store.read([STAFF.key]) is None


async def test_all_keys_share_one_slot(
    store: RedisStore, client: Client, prefix: str, generation: str
) -> None:
    await store.stage()
    keys = await client.keys(f"*{prefix}*")
    assert len(keys) == 3
    assert {key.decode()[: len(prefix) + 6] for key in keys} == {f"{{{prefix}}}:v2:"}


async def test_a_staged_generation_expires_unless_it_is_switched_to(
    store: RedisStore, client: Client, prefix: str
) -> None:
    name = await store.stage()
    key = f"{{{prefix}}}:v2:gen:{name}"
    assert 0 < await client.ttl(key) <= 60
    await client.expire(key, 5)
    await store.fill(name, [STAFF])
    assert await client.ttl(key) > 5
    await store.switch(name, TEN, None)
    assert await client.ttl(key) == -1


async def test_the_replaced_generation_is_removed(
    store: RedisStore, client: Client, prefix: str, generation: str
) -> None:
    name = await store.stage()
    await store.switch(name, TEN, None)
    assert await client.keys(f"*{prefix}*gen:*") == [f"{{{prefix}}}:v2:gen:{name}".encode()]


async def test_a_staged_generation_that_was_lost_cannot_be_completed(
    store: RedisStore, client: Client, prefix: str
) -> None:
    name = await store.stage()
    await store.fill(name, [STAFF])
    await client.delete(f"{{{prefix}}}:v2:gen:{name}")
    with pytest.raises(StoreUnavailable):
        await store.fill(name, [STAFF])
    with pytest.raises(StoreUnavailable):
        await store.switch(name, TEN, None)


@pytest.mark.parametrize("value", [b"", b"4", b"x {}", b'4 {"permissions":5}', b"4 nonsense", b"\xff \xff"])
async def test_a_value_that_cannot_be_read_is_unavailable(
    store: RedisStore, client: Client, prefix: str, generation: str, value: bytes
) -> None:
    await client.hset(f"{{{prefix}}}:v2:gen:{generation}", "g:1", value)  # type: ignore[misc]
    with pytest.raises(StoreUnavailable):
        await store.read([STAFF.key])


async def test_a_key_of_another_type_is_unavailable(store: RedisStore, client: Client, prefix: str) -> None:
    await client.lpush(f"{{{prefix}}}:v2:current", "x")  # type: ignore[misc]
    with pytest.raises(StoreUnavailable):
        await store.current()


async def test_nobody_there(prefix: str) -> None:
    store = RedisStore("redis://127.0.0.1:1/0", prefix)
    with pytest.raises(StoreUnavailable):
        await store.read([STAFF.key])
    await store.close()


async def test_a_frozen_server_is_given_up(store: RedisStore, redis_server: Redis, generation: str) -> None:
    redis_server.suspend()
    try:
        with pytest.raises(StoreUnavailable):
            await store.read([STAFF.key])
    finally:
        redis_server.resume()
    reading = await store.read([STAFF.key])
    assert reading is not None
    assert reading.entities == (STAFF,)


async def test_a_restarted_server_is_used_again(
    store: RedisStore, redis_server: Redis, generation: str
) -> None:
    redis_server.restart()
    assert await store.current() is None  # it keeps nothing
    assert await store.stage()


async def test_the_error_names_no_password(redis_server: Redis) -> None:
    store = RedisStore(redis_server.url.replace(redis_server.password, "wrong-secret"), "x")
    with pytest.raises(StoreUnavailable) as caught:
        await store.current()
    assert "wrong-secret" not in str(caught.value)
    await store.close()


async def test_sentinel_url() -> None:
    client = connect("redis+sentinel://user:p%40ss@10.0.0.1:26380,10.0.0.2/people/3")
    pool = client.connection_pool
    assert pool.service_name == "people"
    hosts = [
        (each.connection_pool.connection_kwargs["host"], each.connection_pool.connection_kwargs["port"])
        for each in pool.sentinel_manager.sentinels
    ]
    assert hosts == [("10.0.0.1", 26380), ("10.0.0.2", 26379)]
    options = pool.connection_kwargs
    assert (options["username"], options["password"], options["db"]) == ("user", "p@ss", 3)
    await client.aclose()
