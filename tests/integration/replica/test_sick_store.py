"""A Redis that answers and is of no use: it takes nothing, or another one has taken its place."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from redis.asyncio import Redis as Client

from authz_sidecar.core.verdicts import Code
from authz_sidecar.replica.redis_store import RedisStore
from lab.campaign.link import Network, Server
from lab.stack.servers import Redis

ADD, CHANGE = "students.add_student", "students.change_student"
Start = Callable[..., Awaitable[Any]]


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


async def demote(server: Redis) -> None:
    """It is a replica from now on: it answers as before and takes nothing."""
    client = Client.from_url(server.url)
    await client.replicaof("127.0.0.1", "1")
    await client.aclose()


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
