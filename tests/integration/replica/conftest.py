"""A User service whose faults can be told, and sidecars' replicas that follow it."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from redis.asyncio import Redis as Client

from authz_sidecar.authz.cached import CachedAuthorizer
from authz_sidecar.config.table import ReplicaSettings
from authz_sidecar.core.digest import Digests
from authz_sidecar.core.documents import encode_state
from authz_sidecar.core.entities import (
    Entity,
    EntityKey,
    EntityState,
    GroupState,
    Position,
    RevisionToken,
    UserState,
)
from authz_sidecar.core.phases import Phase
from authz_sidecar.core.ports import Dependency, Pending, SilentObserver
from authz_sidecar.core.verdicts import Code, Identity, Question, Requirement, Verdict
from authz_sidecar.replica import subscription, waiting
from authz_sidecar.replica.memory_store import MemoryStore
from authz_sidecar.replica.redis_store import RedisStore
from authz_sidecar.replica.replica import Replica
from authz_sidecar.replica.store import Store
from authz_sidecar.source import UserServiceClient
from lab import DEADLINE
from lab.stack.servers import Redis

TOKEN = "the-service-token"
MAX_STALENESS = 30.0
SETTINGS = ReplicaSettings(
    redis_url=None,
    redis_prefix="unused",
    amqp_url=None,
    feed_interval=0.05,
    max_staleness=MAX_STALENESS,
    near_cache_size=1_000,
)


class Clock:
    """The machine's clocks, and a knob to turn the monotonic one forward."""

    ahead = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead

    def wall(self) -> float:
        return time.time()


class ScriptedService:
    """Answers as the wire contract says, from a log in memory."""

    def __init__(self) -> None:
        self.log: list[dict] = []
        self.epochs = 0
        self.commits = 0
        self.oldest = 1
        self.down = False
        self.broken_snapshots = 0
        self.calls: Counter[str] = Counter()
        self.checked: list[dict] = []
        self.said: dict = {}
        self.subject_fields: list[str] | None = None
        """By which it says that it names users; it may say nothing of it."""
        self.before_check: Callable[[], object] = lambda: None
        """What happens while a check is on its way."""
        self.before_snapshot: Callable[[], object] = lambda: None
        self.proved = "all"
        """What it can say of its log: it contains `all`, at least all `losses`, or `nothing` for sure."""
        self.new_epoch()

    # What happens to it

    def new_epoch(self) -> None:
        self.epochs += 1
        self.epoch = str(UUID(int=self.epochs << 96))
        for change in self.log:
            change["epoch"] = self.epoch

    def restore(self, revision: int) -> None:
        """An older database, and nobody said so."""
        del self.log[revision:]

    def truncate(self) -> None:
        self.oldest = self.head + 1

    def commit(self, *changed: tuple[str, str, EntityState]) -> dict:
        self.commits += 1
        at = f"2026-11-22T09:00:{self.commits / 1e6:09.6f}Z"
        entities = [{"kind": k, "key": key, "state": json.loads(encode_state(s))} for k, key, s in changed]
        change = {"v": 1, "type": "change", "epoch": self.epoch, "revision": self.head + 1, "marked_at": at}
        self.log.append({**change, "at": at, "entities": entities})
        return self.log[-1]

    def user(self, key: str, *permissions: str, groups: tuple[str, ...] = (), active: bool = True) -> dict:
        state = UserState(active, False, frozenset(permissions), frozenset(groups), 0)
        return self.commit(("user", key, state))

    def group(self, key: str, *permissions: str) -> dict:
        return self.groups([key], *permissions)

    def groups(self, keys: Iterable[str], *permissions: str) -> dict:
        state = GroupState(frozenset(permissions))
        return self.commit(*(("group", key, state) for key in keys))

    @property
    def head(self) -> int:
        return len(self.log)

    def entities(self) -> dict[tuple[str, str], dict]:
        """What exists, as lines of a snapshot."""
        found = {}
        for change in self.log:
            for entity in change["entities"]:
                found[entity["kind"], entity["key"]] = {**entity, "revision": change["revision"]}
        return {key: line for key, line in found.items() if line["state"] is not None}

    # What it answers

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._admit])
        for name in ("head", "changes", "snapshot", "digest"):
            app.router.add_get(f"/authz/v1/{name}", getattr(self, f"_{name}"))
        app.router.add_get("/authz/v1/subjects/{sub:.+}", self._subjects)
        app.router.add_post("/authz/v1/check", self._check)
        return app

    @web.middleware
    async def _admit(self, request: web.Request, handler) -> web.StreamResponse:
        self.calls[request.path.split("/")[3]] += 1
        if self.down:
            raise web.HTTPServiceUnavailable
        assert request.headers["Authorization"] == f"Bearer {TOKEN}"
        return await handler(request)

    @property
    def _fields(self) -> dict:
        return {} if self.subject_fields is None else {"subject_fields": self.subject_fields}

    @property
    def _position(self) -> dict:
        return {"epoch": self.epoch, "revision": self.head}

    async def _head(self, _request: web.Request) -> web.Response:
        return web.json_response({**self._position, "oldest": self.oldest, "now": _now(), **self._fields})

    async def _changes(self, request: web.Request) -> web.Response:
        after, at = int(request.query["after"]), request.query.get("at")
        here = self.log[after - 1] if 0 < after <= self.head else {"at": None}
        if (
            request.query["epoch"] != self.epoch
            or not self.oldest - 1 <= after <= self.head
            or (at is not None and here["at"] != at)
        ):
            raise web.HTTPGone
        limit = int(request.query.get("limit", 1000))
        body = "".join(json.dumps(change) + "\n" for change in self.log[after : after + limit])
        headers = {"Authz-Head": str(self.head), "Authz-Now": _now()}
        if self.proved != "all":
            headers["Authz-Unproved"] = "a lot is pending"
        if self.proved == "losses":
            headers["Authz-Proved"] = "losses"
        if self.subject_fields is not None:
            headers["Authz-Subject-Fields"] = json.dumps(self.subject_fields)
        return web.Response(text=body, headers=headers)

    async def _snapshot(self, request: web.Request) -> web.Response:
        self.before_snapshot()
        buckets, bucket = int(request.query["buckets"]), int(request.query["bucket"])
        lines = [line for line in self.entities().values() if _bucket(line, buckets) == bucket]
        at = self.log[-1]["at"] if self.log else None
        first = {"type": "snapshot", "v": 1, **self._position, "at": at, "entities": len(lines)}
        first |= self._fields
        lines = [first, *lines, {"type": "end", "entities": len(lines)}]
        if self.broken_snapshots:
            self.broken_snapshots -= 1
            lines = lines[:-2]
        return web.Response(text="".join(json.dumps(line) + "\n" for line in lines))

    async def _digest(self, request: web.Request) -> web.Response:
        count = int(request.query["buckets"])
        digests = Digests(count)
        digests.add(_entity(line) for line in self.entities().values())
        buckets = [{"digest": digests[i], "revision": digests.revisions[i]} for i in range(count)]
        return web.json_response({**self._position, "buckets": buckets})

    async def _subjects(self, request: web.Request) -> web.Response:
        sub, existing = request.match_info["sub"], self.entities()
        position = {**self._position, "at": self.log[-1]["at"] if self.log else None}
        user = existing.get(("user", sub))
        if user is None:
            return web.json_response({**position, "sub": sub}, status=404)
        groups = [existing["group", key] for key in user["state"]["groups"] if ("group", key) in existing]
        return web.json_response({**position, "sub": sub, "entities": [user, *groups]})

    async def _check(self, request: web.Request) -> web.Response:
        """Only what direct permissions grant; `said` overrides it."""
        question = await request.json()
        self.checked.append(question)
        self.before_check()
        user = self.entities().get(("user", question["sub"]))
        granted = user is not None and question["permission"] in [None, *user["state"]["permissions"]]
        answer = {"allowed": granted, "reason": "granted" if granted else "denied"}
        return web.json_response({**self._position, **answer, **self.said})


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + f".{time.time_ns() // 1000 % 1000000:06}Z"


def _bucket(line: dict, buckets: int) -> int:
    digests = Digests(buckets)
    digests.add([_entity({**line, "revision": 1})])
    return digests.revisions.index(1)


def _entity(line: dict) -> Entity:
    state = line["state"]
    permissions = frozenset(state["permissions"])
    made: EntityState = GroupState(permissions)
    if line["kind"] == "user":
        groups = frozenset(state["groups"])
        made = UserState(state["active"], state["superuser"], permissions, groups, state["token_generation"])
    return Entity(EntityKey(line["kind"], line["key"]), line["revision"], made)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def service() -> ScriptedService:
    made = ScriptedService()
    made.group("staff", "students.add_student")
    made.user("alice", "students.change_student")
    made.user("bob", groups=("staff",))
    return made


@pytest.fixture
async def user_service(service: ScriptedService, clock: Clock) -> AsyncIterator[UserServiceClient]:
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    async with TestServer(service.app()) as server, aiohttp.ClientSession() as session:
        yield UserServiceClient(session, str(server.make_url("")), TOKEN, clock)


class Observer(SilentObserver):
    """Counts what happened."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()

    def applied(self, position: Position, propagation: float | None) -> None:
        self.seen["applied"] += 1

    def duplicate(self) -> None:
        self.seen["duplicate"] += 1

    def gap(self) -> None:
        self.seen["gap"] += 1

    def resync(self, cause: str) -> None:
        self.seen[f"resync {cause}"] += 1

    def rejected(self, reason: str) -> None:
        self.seen["rejected"] += 1

    def foreign_epoch(self) -> None:
        self.seen["foreign_epoch"] += 1

    def drift(self, entities: int) -> None:
        self.seen["drift"] += entities

    def silence(self) -> None:
        self.seen["silence"] += 1

    def dependency(self, name: Dependency, up: bool) -> None:
        self.seen[f"{name} {'up' if up else 'down'}"] += 1


@dataclass
class Sidecar:
    """One process's replica with what decides from it."""

    replica: Replica
    authorizer: CachedAuthorizer
    observer: Observer
    service: ScriptedService
    clock: Clock

    @property
    def phase(self) -> Phase:
        return self.replica.status(self.clock.monotonic()).phase

    @property
    def at_head(self) -> bool:
        position = self.replica.near.position
        return position is not None and (position.epoch, position.revision) == (
            self.service.epoch,
            self.service.head,
        )

    @property
    def store_at_head(self) -> bool:
        store = self.replica.status(self.clock.monotonic()).store
        return store is not None and (store.epoch, store.revision) == (self.service.epoch, self.service.head)

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for what happens in this process or in another program."""
        async with asyncio.timeout(DEADLINE):
            while not condition():  # noqa: ASYNC110 (conditions of many kinds)
                await asyncio.sleep(0.005)

    async def until_decided(
        self, sub: str, permission: str, code: Code, user_field: str | None = None
    ) -> None:
        async with asyncio.timeout(DEADLINE):
            while (await self.decide(sub, permission, user_field=user_field)).code is not code:  # noqa: ASYNC110 (as above)
                await asyncio.sleep(0.005)

    async def decide(
        self,
        sub: str,
        permission: str,
        header: RevisionToken | None = None,
        claim: RevisionToken | None = None,
        user_field: str | None = None,
    ) -> Verdict:
        """As the pipeline does it."""
        identity = Identity(sub, "key", 9e9, None, None, claim, user_field=user_field)
        question = Question(identity, Requirement("any", (permission,)), header)
        for _ in range(8):
            found: Verdict | Pending = self.authorizer.authorize(question, self.clock.monotonic())
            if isinstance(found, Verdict):
                return found
            verdict = await found()
            if verdict is not None:
                return verdict
        return Verdict(Code.GRANTS_UNKNOWN)


Start = Callable[..., Awaitable[Sidecar]]


@pytest.fixture
async def start(
    service: ScriptedService, user_service: UserServiceClient, clock: Clock
) -> AsyncIterator[Start]:
    """Starts sidecars that follow the scripted service."""
    async with AsyncExitStack() as stack:

        async def begin(
            store: Store, *, live: bool = True, user_fields: Collection[str] = (), **changed: Any
        ) -> Sidecar:
            settings = replace(SETTINGS, **changed)
            observer = Observer()
            replica = Replica(settings, user_service, store, clock, observer, user_fields)
            await replica.start()
            stack.push_async_callback(store.close)
            stack.push_async_callback(replica.stop)
            authorizer = CachedAuthorizer(replica, settings.max_staleness, settings.audit_bound)
            sidecar = Sidecar(replica, authorizer, observer, service, clock)
            if live:
                await sidecar.until(lambda: sidecar.phase is Phase.LIVE and sidecar.store_at_head)
            return sidecar

        yield begin


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may take longer than a client should have to wait; no relay sends heartbeats here."""
    monkeypatch.setattr(waiting, "FILL_TIMEOUT", DEADLINE)
    monkeypatch.setattr(subscription, "SILENCE", 2 * DEADLINE)


@pytest.fixture
def redis_prefix() -> str:
    """Of the keys of one test: other sidecars may keep their copies in the same Redis."""
    return uuid4().hex


@pytest.fixture
def redis_store(redis_server: Redis, redis_prefix: str) -> Callable[[], RedisStore]:
    return lambda: RedisStore(redis_server.url, redis_prefix)


@pytest.fixture(params=["memory", "redis"])
def store(request: pytest.FixtureRequest) -> Store:
    return MemoryStore() if request.param == "memory" else request.getfixturevalue("redis_store")()


@pytest.fixture
async def client(redis_server: Redis) -> AsyncIterator[Client]:
    made = Client.from_url(redis_server.url)
    yield made
    await made.aclose()
