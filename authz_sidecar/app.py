"""The composition root: builds every part, joins them, starts and stops them in order."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import uvloop
from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector, web

from authz_sidecar.admin import health
from authz_sidecar.admin import server as admin
from authz_sidecar.authn.keys import KeyRefresher
from authz_sidecar.authn.tokens import TokenAuthenticator
from authz_sidecar.core.errors import ConfigurationError, Problem
from authz_sidecar.core.events import ReplicaStatus
from authz_sidecar.core.policy import Policy
from authz_sidecar.core.types import Authorizer, Clock
from authz_sidecar.observe import calls, logs
from authz_sidecar.observe.decision_log import DecisionLog
from authz_sidecar.observe.freshness import FreshnessCollector
from authz_sidecar.observe.hooks import ReplicaHooks, RequestHooks
from authz_sidecar.observe.metrics import Metrics
from authz_sidecar.pipeline import Pipeline
from authz_sidecar.proxy.server import Proxy, Upstream
from authz_sidecar.replica.authorizer import CachedAuthorizer
from authz_sidecar.replica.check import RequestAuthorizer
from authz_sidecar.replica.feed import Feed
from authz_sidecar.replica.memory_store import MemoryStore
from authz_sidecar.replica.redis_store import RedisStore
from authz_sidecar.replica.store import Store
from authz_sidecar.replica.sync import Replica
from authz_sidecar.settings import Address, ReplicaSettings, Settings

logger = logging.getLogger(__name__)

DRAIN_SECONDS = 20.0
"""How long requests under way may take to end after a stop signal."""
UPSTREAM_TIMEOUT = ClientTimeout(total=None, sock_connect=5.0, sock_read=60.0)
UPSTREAM_FIELD_BYTES = 64 * 1024

StatusReader = Callable[[], ReplicaStatus]


class SystemClock:
    """The machine's clocks: the only place that reads them."""

    def monotonic(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()


def run(settings: Settings, policy: Policy) -> int:
    """Serve until SIGINT or SIGTERM. Raises ConfigurationError when it cannot listen."""
    logs.configure(settings.log_level)
    uvloop.run(_serve(settings, policy))
    return 0


async def _serve(settings: Settings, policy: Policy) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        await Sidecar(settings, policy, SystemClock(), stack).start()
        await stop.wait()
        logger.info("stopping: requests under way end first")


class Sidecar:
    """Every part of one sidecar. What it starts is undone by `stack`, in reverse order."""

    def __init__(self, settings: Settings, policy: Policy, clock: Clock, stack: AsyncExitStack) -> None:
        self._settings = settings
        self._policy = policy
        self._clock = clock
        self._stack = stack
        self._metrics = Metrics()

    async def start(self) -> None:
        """Start in the order of need: sources, replica, admin port, and the proxied port last."""
        session = await self._user_service_session()
        keys = await self._start_keys(session)
        authorizer, status = await self._start_authorizer(session)
        await self._listen(self._admin_runner(status), self._settings.admin.listen, "AUTHZ_ADMIN_LISTEN")
        pipeline = Pipeline(
            policy=self._policy,
            authenticator=TokenAuthenticator(self._settings.jwt, keys),
            authorizer=authorizer,
            clock=self._clock,
            token_header=self._settings.jwt.header.encode(),
            enforced=self._settings.mode == "enforce",
        )
        await self._listen(await self._proxy_runner(pipeline), self._settings.listen, "AUTHZ_LISTEN")

    async def _user_service_session(self) -> ClientSession:
        return await self._stack.enter_async_context(
            ClientSession(
                timeout=ClientTimeout(total=self._settings.user_service.timeout),
                cookie_jar=DummyCookieJar(),
                trace_configs=[calls.tracing(self._metrics.called)],
            )
        )

    async def _start_keys(self, session: ClientSession) -> KeyRefresher:
        keys = KeyRefresher(session, self._settings.jwt, self._clock)
        await keys.start()
        self._stack.push_async_callback(keys.stop)
        return keys

    async def _start_authorizer(self, session: ClientSession) -> tuple[Authorizer, StatusReader | None]:
        source, settings, clock = self._settings.user_service, self._settings.replica, self._clock
        feed = Feed(session, source.url, source.token, clock)
        if self._settings.validation == "request":
            return RequestAuthorizer(feed), None
        store = _store(settings)
        self._stack.push_async_callback(store.close)
        replica = Replica(settings, feed, store, clock, ReplicaHooks(self._metrics))
        await replica.start()
        self._stack.push_async_callback(replica.stop)

        def status() -> ReplicaStatus:
            return replica.status(clock.monotonic())

        self._metrics.registry.register(FreshnessCollector(status))
        return CachedAuthorizer(replica, feed, settings.max_staleness), status

    def _admin_runner(self, status: StatusReader | None) -> web.AppRunner:
        ready = {"upstream": health.reachable(self._settings.upstream)}
        fresh = {}
        if status is not None:
            ready["replica"] = health.loaded(status)
            fresh["fresh"] = health.fresh(status)
        sources = admin.AdminSources(
            health=health.Health(ready, fresh),
            metrics=self._metrics.exposition,
            status=lambda: self._describe(status),
        )
        return web.AppRunner(admin.application(sources, self._settings.admin), access_log=None)

    def _describe(self, status: StatusReader | None) -> dict[str, Any]:
        """What `/status` shows."""
        return {
            "validation": self._settings.validation,
            "mode": self._settings.mode,
            "policy": self._policy.digest,
            "max_staleness": self._settings.replica.max_staleness,
            "replica": status().as_dict() if status else None,
        }

    async def _proxy_runner(self, pipeline: Pipeline) -> web.ServerRunner:
        decision_log = DecisionLog(
            policy_digest=self._policy.digest,
            wall=self._clock.wall,
            sample_allows=self._settings.decision_log_sample,
        )
        decision_log.start()
        self._stack.callback(decision_log.stop)
        session = await self._stack.enter_async_context(
            ClientSession(
                timeout=UPSTREAM_TIMEOUT,
                connector=TCPConnector(limit=0),
                cookie_jar=DummyCookieJar(),
                auto_decompress=False,
                max_line_size=UPSTREAM_FIELD_BYTES,
                max_field_size=UPSTREAM_FIELD_BYTES,
            )
        )
        upstream = Upstream(self._settings.upstream, session, self._settings.trusts)
        proxy = Proxy(pipeline, upstream, RequestHooks(self._metrics, decision_log), self._clock)
        return web.ServerRunner(proxy.server(), shutdown_timeout=DRAIN_SECONDS)

    async def _listen(self, runner: web.BaseRunner, address: Address, variable: str) -> None:
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        try:
            await web.TCPSite(runner, address.host, address.port).start()
        except OSError as error:
            message = f"cannot listen on {address}: {error.strerror}; choose another address or port"
            raise ConfigurationError([Problem(variable, message)]) from error
        logger.info("%s is %s:%d", variable, *runner.addresses[0][:2])


def _store(settings: ReplicaSettings) -> Store:
    if settings.redis_url is None:
        return MemoryStore()
    return RedisStore(settings.redis_url, settings.redis_prefix)
