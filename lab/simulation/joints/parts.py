"""What one process of a sidecar consists of, put together as the product does it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from typing import Any, cast

import aiohttp

from authz_sidecar.admin import health
from authz_sidecar.authn import issuers
from authz_sidecar.authn.keys import IssuersKeys, KeysByIssuer
from authz_sidecar.authz.cached import CachedAuthorizer, Kept
from authz_sidecar.config.issuer import Issuer
from authz_sidecar.config.table import ReplicaSettings
from authz_sidecar.core.entities import EntityKey, Position
from authz_sidecar.core.phases import Phase
from authz_sidecar.core.ports import Clock, ReplicaObserver, ReplicaStatus
from authz_sidecar.feed import messages
from authz_sidecar.feed.feed import Feed
from authz_sidecar.feed.followed import Follower, MirroredReplica, followed_keys
from authz_sidecar.feed.mirror import Mirror
from authz_sidecar.pipeline import Pipeline
from authz_sidecar.replica.near_cache import NearCache
from authz_sidecar.replica.replica import Replica
from authz_sidecar.replica.store import Store
from authz_sidecar.source import UserServiceClient
from lab.simulation.joints.rules import compiled
from lab.simulation.keys import AUDIENCE, ISSUER, LEEWAY, OTHER_ISSUER
from lab.simulation.plan import Setup

USER_SERVICE = "http://users.test"
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
        return mirror.near.position is not None and mirror.proofs.fresh_for(clock.monotonic()) >= 0.0

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
    return Pipeline(compiled(rules), authenticator, authorizer, clock), checks
