"""A Redis that forgets: flushed, evicting, or replaced by a replica that lagged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from random import Random
from threading import Event, Thread
from typing import Any

import redis

from lab.campaign.system import System
from lab.stack.process import wait_for

LAG = 5
"""Revisions that the replica misses."""
FILLER_BYTES = 10_000


@contextmanager
def flushed(system: System, random: Random) -> Iterator[str]:
    _client(system.redis).flushall()
    yield "FLUSHALL"


@contextmanager
def evicting(system: System, random: Random) -> Iterator[str]:
    """Others fill a Redis that has little room left, so that keys of the copy are evicted again and again."""
    policy = random.choice(("allkeys-lru", "allkeys-random"))
    client = _client(system.redis)
    client.config_set("maxmemory-policy", policy)
    client.config_set("maxmemory", int(client.info("memory")["used_memory"]) + 10 * FILLER_BYTES)
    stopping = Event()
    filler = Thread(target=_fill, args=[client, stopping], name="filler")
    filler.start()
    try:
        yield policy
    finally:
        stopping.set()
        filler.join()
        client.config_set("maxmemory", 0)
        for key in client.scan_iter("filler:*"):
            client.delete(key)


def _fill(client: redis.Redis, stopping: Event) -> None:
    count = 0
    while not stopping.wait(0.005):
        count += 1
        with suppress(redis.ResponseError):  # out of memory: there is nothing left to evict
            client.set(f"filler:{count}", b"x" * FILLER_BYTES)


@contextmanager
def failed_over(system: System, random: Random) -> Iterator[str]:
    """The primary dies, and a replica that has missed revisions takes its place."""
    primary, replica = system.redis, system.spare_redis
    client = _client(replica)
    client.config_set("masterauth", primary.password)
    client.replicaof("127.0.0.1", str(primary.port))
    wait_for(lambda: client.info("replication").get("master_link_status") == "up", 20, "replication")
    client.replicaof("NO", "ONE")
    lags_from = system.archiver.position.revision
    wait_for(lambda: system.archiver.position.revision >= lags_from + LAG, 20, f"{LAG} revisions")
    for name in system.network.links:
        if name.endswith("→ redis"):
            system.network.redirect(name, replica.port)
    primary.kill()
    yield f"{system.archiver.position.revision - lags_from} revisions behind"
    primary.start()
    system.redis, system.spare_redis = replica, primary


@contextmanager
def swapped(system: System, random: Random) -> Iterator[str]:
    """Another server takes over behind the same address; the old one stays, read-only, with whom it has."""
    primary, replica = system.redis, system.spare_redis
    old, new = _client(primary), _client(replica)
    new.config_set("masterauth", primary.password)
    new.replicaof("127.0.0.1", str(primary.port))
    wait_for(lambda: new.info("replication").get("master_link_status") == "up", 20, "replication")
    new.replicaof("NO", "ONE")
    for name in system.network.links:
        if name.endswith("→ redis"):
            system.network.redirect(name, replica.port, reset=False)
    old.config_set("masterauth", replica.password)
    old.replicaof("127.0.0.1", str(replica.port))
    system.redis, system.spare_redis = replica, primary
    yield "the old one is read-only"


def _client(server: Any) -> redis.Redis:
    return redis.Redis.from_url(server.url, socket_timeout=5)
