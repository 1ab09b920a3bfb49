"""Users in more groups than anybody thought of."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from authz_sidecar.core.verdicts import Code
from authz_sidecar.replica.redis_store import RedisStore
from authz_sidecar.replica.store import Store

ADD, CHANGE = "students.add_student", "students.change_student"
Start = Callable[..., Awaitable[Any]]


def join_many(service: Any, sub: str, count: int) -> None:
    names = tuple(f"g{number}" for number in range(count))
    service.groups(names, ADD)
    service.user(sub, groups=names)


async def test_more_groups_than_fit_into_the_near_cache(start: Start, store: Store, service: Any) -> None:
    for sub in ("carol", "dora"):
        join_many(service, sub, 50)
    sidecar = await start(store, near_cache_size=10)
    for sub in ("carol", "dora", "carol"):
        assert (await sidecar.decide(sub, ADD)).code is Code.GRANTED
        assert (await sidecar.decide(sub, CHANGE)).code is Code.PERMISSION_DENIED
    codes = await asyncio.gather(*(sidecar.decide(sub, CHANGE) for sub in ("alice", "carol", "dora") * 5))
    assert [verdict.code for verdict in codes] == [
        Code.GRANTED,
        Code.PERMISSION_DENIED,
        Code.PERMISSION_DENIED,
    ] * 5


async def test_one_users_size_is_no_outage_of_redis(
    start: Start, redis_store: Callable[[], RedisStore], service: Any
) -> None:
    join_many(service, "carol", 10_000)
    sidecar = await start(redis_store())
    assert (await sidecar.decide("carol", CHANGE)).code is Code.PERMISSION_DENIED
    assert not sidecar.observer.seen["store down"]
    assert not service.calls["subjects"], "the store has all of them"
