"""An older part beside a newer one: what was sent and kept once is in `older/`, today's in `messages/`."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from redis.asyncio import Redis as Client

from authz_sidecar.core import wire
from authz_sidecar.core.documents import parse_instant
from authz_sidecar.core.entities import Entity, EntityKey, GroupState, Heartbeat, Position, UserState
from authz_sidecar.core.wire import Head, SnapshotEnd, SnapshotHead
from authz_sidecar.replica.redis_store import RedisStore
from lab.stack.servers import Redis

HERE = Path(__file__).parent
OLDER = {path.name: path for path in (HERE / "older").glob("*json") if path.name != "redis.json"}
STORED: dict[str, Any] = json.loads((HERE / "older" / "redis.json").read_text())
AT = Position("3f2a9c1b-5d44-4b0e-9c07-6a1f7f0e8d21", 42, "2026-11-22T09:00:00.123456Z")
NOW = parse_instant("2026-11-22T09:00:01.000000Z")
user = Entity(
    EntityKey("user", "17"),
    42,
    UserState(True, False, frozenset({"students.change_student"}), frozenset({"3"}), 2),
)
group = Entity(EntityKey("group", "3"), 42, GroupState(frozenset({"students.add_student"})))


def snapshot(body: bytes) -> list[object]:
    first, *lines = body.splitlines()
    return [wire.parse_snapshot_head(first), *(wire.parse_snapshot_line(line, 42) for line in lines)]


READ: dict[str, tuple[Callable[[bytes], object], object]] = {
    "head.json": (wire.parse_head, Head(AT.epoch, 42, NOW)),
    "heartbeat.json": (wire.parse_message, Heartbeat(AT, NOW)),
    "snapshot.ndjson": (snapshot, [SnapshotHead(AT, 2), user, group, SnapshotEnd(2)]),
}


@pytest.mark.parametrize("name", OLDER)
def test_a_newer_sidecar_reads_an_older_service(name: str) -> None:
    read, expected = READ[name]
    assert read(OLDER[name].read_bytes()) == expected


def documents(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("name", OLDER)
def test_an_older_sidecar_finds_all_that_it_reads_in_what_a_newer_service_sends(name: str) -> None:
    """It ignores what it does not know, as the next test shows of today's."""
    for before, now in zip(documents(OLDER[name]), documents(HERE / "messages" / name), strict=True):
        assert before.items() <= now.items()


def with_more(value: object) -> object:
    """With a field that nobody knows yet in each object."""
    if isinstance(value, dict):
        return {"of_the_future": {"a": [1]}, **{key: with_more(each) for key, each in value.items()}}
    return [with_more(each) for each in value] if isinstance(value, list) else value


READERS: dict[str, Callable[[bytes], object]] = {
    "change.json": wire.parse_message,
    "check.json": wire.parse_check,
    "deletion.json": wire.parse_message,
    "digest.json": wire.parse_digest,
    "head.json": wire.parse_head,
    "heartbeat.json": wire.parse_message,
    "snapshot.ndjson": snapshot,
    "subject.json": lambda body: wire.parse_subject(body, "17"),
    "unknown-subject.json": lambda body: wire.parse_no_subject(body, "18"),
}


@pytest.mark.parametrize("name", READERS)
def test_what_a_sidecar_does_not_know_it_ignores(name: str) -> None:
    path = HERE / "messages" / name
    newer = "\n".join(json.dumps(with_more(each)) for each in documents(path)).encode()
    assert READERS[name](newer) == READERS[name](path.read_bytes())


@pytest.fixture
async def client(redis_server: Redis) -> AsyncIterator[Client]:
    made = Client.from_url(redis_server.url, decode_responses=True)
    yield made
    await made.aclose()


async def contents(client: Client, prefix: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key in await client.keys(f"{prefix}*"):
        is_text = await client.type(key) == "string"
        found[key.removeprefix(prefix)] = await (client.get(key) if is_text else client.hgetall(key))  # type: ignore[misc] # redis types both worlds at once
    return found


async def test_a_newer_sidecar_begins_anew_beside_an_older_one_s_copy(
    redis_server: Redis, client: Client
) -> None:
    """The older one left out of states what it did not know: relied on, ended tokens would pass."""
    name = uuid4().hex
    older = f"{{{name}}}:v1:"
    for key, value in STORED.items():
        if isinstance(value, str):
            await client.set(older + key, value)
        else:
            await client.hset(older + key, mapping=value)  # type: ignore[misc] # likewise
    store = RedisStore(redis_server.url, name)
    try:
        assert await store.current() is None
        staged = await store.stage()
        await store.fill(staged, [user, group])
        assert await store.switch(staged, AT, None)
        assert await store.read([user.key]) is not None
    finally:
        await store.close()
    assert await contents(client, older) == STORED  # for the older one, if it comes back
