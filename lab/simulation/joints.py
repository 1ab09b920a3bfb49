"""The only place where the simulation touches the product: it builds one sidecar's parts and joins them to
the world's edges. Everything between the edges is the code that runs in production.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from math import inf
from types import SimpleNamespace
from typing import Any, cast
from unittest import mock
from uuid import UUID

import aiohttp

from authz_sidecar.admin import health
from authz_sidecar.authn import issuers
from authz_sidecar.authn.keys import IssuersKeys, KeysByIssuer
from authz_sidecar.authz.cached import CachedAuthorizer, Kept
from authz_sidecar.config.addresses import UpstreamAddress
from authz_sidecar.config.issuer import Issuer
from authz_sidecar.config.limits import ProxyLimits
from authz_sidecar.config.table import ReplicaSettings
from authz_sidecar.core import fields, policy
from authz_sidecar.core.entities import Entity, EntityKey, Kind, Position
from authz_sidecar.core.phases import Phase
from authz_sidecar.core.ports import Clock, ReplicaObserver, ReplicaStatus, RequestObserver
from authz_sidecar.core.verdicts import Decision, Own, RequestHead, Requirement
from authz_sidecar.feed import line, messages
from authz_sidecar.feed.feed import Feed
from authz_sidecar.feed.followed import Follower, MirroredReplica, followed_keys
from authz_sidecar.feed.mirror import Mirror
from authz_sidecar.pipeline import Pipeline, Undecided
from authz_sidecar.proxy.pool import UpstreamPool
from authz_sidecar.proxy.server import ProxyServer
from authz_sidecar.proxy.shared import Shared
from authz_sidecar.replica import drift, subscription
from authz_sidecar.replica.near_cache import NearCache
from authz_sidecar.replica.replica import Replica
from authz_sidecar.replica.store import Store
from authz_sidecar.source import UserServiceClient
from lab.simulation import wires
from lab.simulation.keys import AUDIENCE, ISSUER, LEEWAY, OTHER_ISSUER
from lab.simulation.plan import Setup

PERMISSIONS = ("s.add", "s.change", "s.delete")
Rules = Mapping[tuple[str, str], Requirement]
"""What each method demands at each path."""
ANYONE, ALIVE = Requirement("anyone"), Requirement("authenticated")
CHANGE, FRESH = Requirement("any", ("s.change",)), Requirement("any", ("s.change",), max_staleness=1.5)
OWN = Requirement("any", ("s.change",), own=Own("id"))
POLICIES: Sequence[Rules] = (
    {
        ("POST", "/students/"): Requirement("any", ("s.add",)),
        ("PUT", "/students/{id}/"): CHANGE,
        ("DELETE", "/students/{id}/"): Requirement("all", ("s.change", "s.delete")),
        ("PATCH", "/students/{id}/"): Requirement("any", ("s.add", "s.delete")),
        ("POST", "/me/"): ALIVE,
        ("POST", "/hooks/"): ANYONE,
        ("PUT", "/profiles/{id}/"): OWN,
        ("PUT", "/grades/{id}/"): FRESH,
    },
    {
        ("POST", "/students/"): Requirement("all", ("s.add", "s.change")),
        ("PUT", "/students/{id}/"): FRESH,
        ("PATCH", "/students/{id}/"): Requirement("any", ("s.delete",)),
        ("POST", "/me/"): Requirement("any", ("s.add",)),
        ("POST", "/hooks/"): ALIVE,
        ("PUT", "/profiles/{id}/"): Requirement("all", ("s.change",), own=Own("id")),
    },
    {
        ("POST", "/students/"): ALIVE,
        ("PUT", "/students/{id}/"): ALIVE,
        ("DELETE", "/students/{id}/"): Requirement("any", ("s.delete",)),
        ("PATCH", "/students/{id}/"): ANYONE,
        ("POST", "/me/"): ALIVE,
        ("POST", "/hooks/"): ANYONE,
        ("PUT", "/profiles/{id}/"): CHANGE,
        ("PUT", "/grades/{id}/"): CHANGE,
    },
)
"""The usual one, one that demands more, and one that demands less."""
USER_SERVICE = "http://users.test"
MAX_UNREAD = 20_000
"""Bytes that a worker may leave unread: so few that some do, where the product lets them leave megabytes."""

JWT = Issuer(
    issuer=ISSUER,
    audiences=(AUDIENCE,),
    algorithms=frozenset({"EdDSA"}),
    type="at+jwt",
    leeway=LEEWAY,
    revision_claims=True,
    jwks_url=f"{USER_SERVICE}/.well-known/jwks.json",
    jwks_max_age=3600.0,
)
ISSUERS = (JWT, replace(JWT, issuer=OTHER_ISSUER, revision_claims=False))

Connect = Callable[[], Any]
Work = Callable[[], Coroutine[Any, Any, None]]
Changed = Callable[[Collection[EntityKey] | None], None]


@dataclass(frozen=True, slots=True)
class Edges:
    """What one sidecar has of the world."""

    clock: Clock
    session: Any
    store: Store
    observer: ReplicaObserver


@dataclass(frozen=True, slots=True)
class Parts:
    """What one process consists of. `start` and `stop` are those of all that runs in it, in order."""

    near: NearCache
    pipeline: Pipeline
    checks: Mapping[str, health.Check]
    """What `/readyz?fresh` asks, and a process that another is to hand over to."""
    live: Callable[[], bool]
    fresh: Callable[[], bool]
    watch: Callable[[Changed], None]
    remembered: Callable[[], int]
    """How much it holds that could grow without a bound."""
    start: Callable[[], Awaitable[None]]
    stop: Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class BytePath:
    """The proxied port of one sidecar."""

    server: ProxyServer
    shared: Shared

    def left_over(self) -> list[str]:
        """What is still under way, when nothing should be."""
        shared, pool = self.shared, self.shared.pool
        counts = {
            "clients": len(shared.clients) + len(shared.handshakes),
            "revocable requests": len(shared.revocable),
            "connections to the service": len(pool.connections),
            "bytes of the budget": shared.budget.taken_bytes,
        }
        return [f"{count} {what}" for what, count in counts.items() if count]


def byte_path(setup: Setup, parts: Parts, clock: Clock, observer: RequestObserver) -> BytePath:
    """As `app.py` puts it together, with times that end within a world's."""
    limits = ProxyLimits(
        head_seconds=3.0,
        body_seconds=4.0,
        idle_seconds=6.0,
        connect_seconds=2.0,
        response_seconds=5.0,
        upstream_idle_seconds=3.0,
        write_seconds=8.0,
        upstream_connections=setup.upstream_connections,
    )
    pool = UpstreamPool(UpstreamAddress("service.test", 80), limits, clock)
    shared = Shared(parts.pipeline, pool, observer, clock, limits, lambda _peer: False)
    _keep_in_order(shared)
    return BytePath(ProxyServer(shared), shared)


class _InOrder(set[Any]):
    """The order of a set of connections is that of their addresses in memory: another in every process."""

    def __iter__(self) -> Iterator[Any]:
        return iter(sorted(super().__iter__(), key=_age))


def _age(member: Any) -> tuple[int, str]:
    request_id = getattr(member, "request_id", None)
    return (0, request_id) if request_id is not None else (wires.age(member), "")


def _keep_in_order(shared: Shared) -> None:
    shared.clients = shared._sweep._expiring = _InOrder()
    shared.revocable = _InOrder()
    pool = shared.pool
    pool._all = pool._sweep._expiring = _InOrder()


def build(setup: Setup, edges: Edges, rules: int, rendezvous: Any = None, *, with_broker: bool) -> Parts:
    """One sidecar, as `app.py` puts it together; called inside its event loop.

    `rendezvous`: where its workers call, if it is to feed some.
    """
    session, settings = cast(aiohttp.ClientSession, edges.session), _settings(setup, with_broker=with_broker)
    keys = IssuersKeys(session, ISSUERS, edges.clock)
    source = UserServiceClient(session, USER_SERVICE, "token", edges.clock)
    replica = Replica(settings, source, edges.store, edges.clock, edges.observer)
    feed = None if rendezvous is None else Feed(replica, keys.refreshers, {})
    serve, serve_no_more = _background(*([] if feed is None else [partial(feed.serve, rendezvous)]))

    def status() -> ReplicaStatus:
        return replica.status(edges.clock.monotonic())

    async def start() -> None:
        await keys.start()
        await replica.start()
        await serve()

    async def stop() -> None:
        await serve_no_more()
        await replica.stop()
        await keys.stop()

    return Parts(
        replica.near,
        *_deciding(setup, edges.clock, rules, keys, replica),
        lambda: status().phase is Phase.LIVE,
        lambda: status().fresh,
        partial(_watch, replica, feed),
        lambda: len(replica.near) + len(replica._machine._held),
        start,
        stop,
    )


def _settings(setup: Setup, *, with_broker: bool) -> ReplicaSettings:
    return ReplicaSettings(
        redis_url=None,
        redis_prefix="",
        amqp_url="amqp://broker.test" if with_broker else None,
        feed_interval=setup.feed_interval,
        max_staleness=setup.max_staleness,
        near_cache_size=setup.near_cache_size,
        max_audit_age=setup.max_audit_age,
    )


def _watch(replica: Replica, feed: Feed | None, changed: Changed) -> None:
    """Have both hear of what changes: who watches, and the workers."""
    if feed is None:
        replica.watch(changed)
        return

    def both(moved: Collection[EntityKey] | None) -> None:
        changed(moved)
        feed.moved(moved)

    replica.watch(both, feed.moved)


def build_worker(
    setup: Setup, clock: Clock, rules: int, number: int, rendezvous: Any, applied: Callable[[Position], None]
) -> Parts:
    """One of several processes that decide, as `workers/worker.py` puts it together."""
    follower = Follower(rendezvous, _nothing_to_tell)
    keys, hear_keys = followed_keys(ISSUERS, clock, follower)
    mirror = Mirror(setup.near_cache_size, setup.max_staleness, setup.max_audit_age or inf)
    mirrored = MirroredReplica(mirror, follower, clock)

    def heard(message: messages.Message) -> None:
        if message["type"] == "keys":
            hear_keys(message)
            return
        mirrored.take(message)
        if message["type"] == "change" and mirror.near.position is not None:
            applied(mirror.near.position)

    def hello() -> messages.Message:
        return messages.hello(number, number, (mirror.near.position, mirror.near.subject_fields), {})

    def fresh() -> bool:
        return mirror.near.position is not None and mirror.fresh_for(clock.monotonic()) >= 0.0

    return Parts(
        mirror.near,
        *_deciding(setup, clock, rules, keys, mirrored),
        fresh,
        fresh,
        mirrored.watch,
        lambda: len(mirror.near),
        *_background(partial(follower.follow, heard, hello), mirrored.watch_staleness),
    )


async def _nothing_to_tell(_question: messages.Message) -> messages.Message:
    return {}


def _background(*works: Work) -> tuple[Callable[[], Awaitable[None]], Callable[[], Awaitable[None]]]:
    """What begins these as tasks, and what ends them."""
    running: list[asyncio.Task[None]] = []

    async def start() -> None:
        running.extend(asyncio.create_task(work()) for work in works)

    async def stop() -> None:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    return start, stop


def _deciding(
    setup: Setup, clock: Clock, rules: int, keys: KeysByIssuer, kept: Kept
) -> tuple[Pipeline, Mapping[str, health.Check]]:
    """What decides by this copy, and what tells whether it can."""
    authorizer = CachedAuthorizer(kept, setup.max_staleness, setup.max_audit_age or inf)
    authenticator = issuers.authenticator(ISSUERS, keys.by_issuer)
    checks = {
        "keys": health.keys(keys.statuses),
        "fresh": health.decides(lambda: authorizer.undecided(clock.monotonic())),
    }
    return Pipeline(_COMPILED[rules], authenticator, authorizer, clock), checks


def position(parts: Parts) -> Position | None:
    """Where this process stands."""
    return parts.near.position


def held(parts: Parts) -> dict[EntityKey, Entity]:
    """What this process decides by now."""
    near = parts.near
    kinds: tuple[Kind, ...] = ("user", "group")
    keys = [EntityKey(kind, str(number)) for kind in kinds for number in range(1, 100)]
    return {key: entity for key in keys if (entity := near.entity(key)) is not None}


def put_into_force(parts: Parts, byte_path: BytePath | None, rules: int) -> None:
    """As `app.py` does with a policy that was read anew."""
    parts.pipeline.policy = _COMPILED[rules]
    if byte_path is not None:
        byte_path.server.reconsider(None)


def digest(rules: int) -> str:
    """By which decisions name that policy."""
    return _COMPILED[rules].digest


def request(method: str, path: str, token: bytes | None, min_revision: str | None) -> RequestHead:
    """A request as it comes out of the parser."""
    received = [(b"Host", b"students.test")]
    if token is not None:
        received.append((b"Authorization", b"Bearer " + token))
    if min_revision is not None:
        received.append((b"Authz-Min-Revision", min_revision.encode()))
    return RequestHead(method, path.encode(), fields.of_request(received), "192.0.2.1")


def decide(parts: Parts, head: RequestHead, request_id: str) -> Decision | Undecided:
    return parts.pipeline.decide(head, request_id)


def reconsider(parts: Parts, decision: Decision) -> Decision | Undecided:
    """As the byte path does with what is under way when permissions change."""
    return parts.pipeline.reconsider(decision, request(decision.method, decision.target, None, None))


@contextmanager
def world(setup: Setup, connect: Connect) -> Iterator[None]:
    """While it lasts the product's modules find the world's broker, and its intervals are the plan's."""
    numbers = count(1)

    def names() -> UUID:
        return UUID(int=next(numbers))

    aiormq = SimpleNamespace(connect=lambda _url: connect())
    with (
        mock.patch.object(subscription, "aiormq", aiormq),
        mock.patch.object(subscription, "uuid4", names),
        mock.patch.object(secrets, "token_hex", lambda size: f"{next(numbers):0{2 * size}x}"),
        mock.patch.object(line, "MAX_UNREAD", MAX_UNREAD),
        mock.patch.object(drift, "INTERVAL", setup.drift_interval),
        mock.patch.object(drift, "BUCKETS", setup.drift_buckets),
    ):
        yield


@contextmanager
def logs(failed: Callable[[str], object]) -> Iterator[None]:
    """Without the product's log lines, which cost more than they tell.

    Only what it logs of exceptions that it did not expect is handed on.
    """
    logger = logging.getLogger("authz_sidecar")
    handler = _Unexpected(failed)
    level, propagate = logger.level, logger.propagate
    logger.setLevel(logging.ERROR)
    logger.propagate = False
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate


class _Unexpected(logging.Handler):
    def __init__(self, failed: Callable[[str], object]) -> None:
        super().__init__()
        self._failed = failed

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self._failed(f"{record.getMessage()}: {record.exc_info[1]!r}")


def _compiled(rules: Rules) -> policy.Policy:
    return policy.compile(
        policy.RuleSource("simulation", (method,), path, requirement)
        for (method, path), requirement in rules.items()
    )


_COMPILED = tuple(map(_compiled, POLICIES))
