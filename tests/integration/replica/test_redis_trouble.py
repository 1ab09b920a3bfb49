"""Redis loses things, lags or hangs: what is decided stays right, and what is lost comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from redis.asyncio import Redis as Client

from authz_sidecar.core.verdicts import Code
from authz_sidecar.replica.drift import DriftCheck
from authz_sidecar.replica.redis_store import RedisStore
from authz_sidecar.replica.store import Store
from authz_sidecar.source import UserServiceClient
from lab.stack.servers import Redis

ADD, CHANGE = "students.add_student", "students.change_student"
MAX_STALENESS = 30.0
Start = Callable[..., Awaitable[Any]]


class TestRedisTrouble:
    @pytest.fixture
    async def sidecar(self, start: Start, redis_store: Callable[[], RedisStore]) -> Any:
        sidecar = await start(redis_store())
        assert (await sidecar.decide("alice", CHANGE)).code is Code.GRANTED
        return sidecar

    async def test_flushed(self, sidecar: Any, client: Client, service: Any) -> None:
        await client.flushall()
        assert (await sidecar.decide("alice", CHANGE)).code is Code.GRANTED
        assert (await sidecar.decide("bob", ADD)).code is Code.GRANTED
        assert service.calls["subjects"] >= 1
        await sidecar.until(lambda: sidecar.observer.seen["resync store_empty"] and sidecar.store_at_head)

    async def test_killed(self, sidecar: Any, redis_server: Redis, service: Any) -> None:
        redis_server.kill()
        try:
            service.user("alice")
            await sidecar.until_decided("alice", CHANGE, Code.PERMISSION_DENIED)
            assert (await sidecar.decide("bob", ADD)).code is Code.GRANTED
        finally:
            await asyncio.to_thread(redis_server.start)
        await sidecar.until(lambda: sidecar.store_at_head)

    async def test_frozen(self, sidecar: Any, redis_server: Redis, service: Any) -> None:
        redis_server.suspend()
        try:
            service.user("alice")
            await sidecar.until_decided("alice", CHANGE, Code.PERMISSION_DENIED)
            assert (await sidecar.decide("bob", ADD)).code is Code.GRANTED
        finally:
            redis_server.resume()
        await sidecar.until(lambda: sidecar.store_at_head)

    async def test_failed_over_to_a_copy_that_lags(
        self, sidecar: Any, client: Client, service: Any, redis_prefix: str
    ) -> None:
        (key,) = await client.keys(f"*{redis_prefix}*:gen:*")
        lagging = await client.dump(key)
        service.group("staff")
        await sidecar.until(lambda: sidecar.store_at_head)
        await client.restore(key, 0, lagging, replace=True)
        assert (await sidecar.decide("bob", ADD)).code is Code.PERMISSION_DENIED
        service.user("carol")
        await sidecar.until(lambda: sidecar.store_at_head)
        assert b"@revision" in await client.hkeys(key)
        assert int(await client.hget(key, "@revision")) == service.head

    async def test_emptied_but_for_its_position(
        self, sidecar: Any, client: Client, service: Any, redis_prefix: str
    ) -> None:
        """What no eviction does: absence is confirmed with the User service before it is believed."""
        (key,) = await client.keys(f"*{redis_prefix}*:gen:*")
        await client.hdel(key, "u:bob", "g:staff")
        assert (await sidecar.decide("bob", ADD)).code is Code.GRANTED
        assert service.calls["subjects"] == 1

    async def test_with_the_service_down_too(self, sidecar: Any, redis_server: Redis, service: Any) -> None:
        """What is known is decided, what is not is unknown: never denied."""
        redis_server.suspend()
        service.down = True
        try:
            assert (await sidecar.decide("alice", CHANGE)).code is Code.GRANTED
            assert (await sidecar.decide("bob", ADD)).code is Code.GRANTS_UNKNOWN
        finally:
            redis_server.resume()

    @pytest.fixture(autouse=True)
    async def _alone(self, client: Client) -> None:
        await client.flushall()


class TestDrift:
    async def test_what_differs_is_repaired(
        self,
        start: Start,
        redis_store: Callable[[], RedisStore],
        redis_prefix: str,
        user_service: UserServiceClient,
        client: Client,
    ) -> None:
        await client.flushall()
        store = redis_store()
        sidecar = await start(store)
        await sidecar.decide("alice", CHANGE)
        (key,) = await client.keys(f"*{redis_prefix}*:gen:*")
        genuine = await client.hgetall(key)
        await client.hset(key, "u:alice", genuine[b"u:alice"].replace(b'"active":true', b'"active":false'))
        await client.hset(key, "u:mallory", genuine[b"u:alice"])
        await client.hdel(key, "g:staff")
        replica = sidecar.replica
        check = DriftCheck(store, user_service, replica.near, replica.waiting.reached, sidecar.observer)
        assert await check.check() == 3
        assert sidecar.observer.seen["drift"] == 3
        repaired = await client.hgetall(key)
        assert repaired.pop(b"u:mallory").endswith(b" null")
        assert repaired == genuine
        assert await check.check() == 0

    async def test_nothing_is_repaired_in_a_healthy_store(
        self, start: Start, store: Store, user_service: UserServiceClient, service: Any
    ) -> None:
        sidecar = await start(store)
        service.commit(("user", "bob", None))
        service.user("carol", CHANGE)
        await sidecar.until(lambda: sidecar.store_at_head)
        replica = sidecar.replica
        assert (
            await DriftCheck(
                store, user_service, replica.near, replica.waiting.reached, sidecar.observer
            ).check()
            == 0
        )
