"""The composition root: builds every part, joins them, starts and stops them in order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from functools import cached_property
from typing import Any, cast

from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, web

from authz_sidecar import __version__, pipeline
from authz_sidecar.admin import health
from authz_sidecar.admin import server as admin
from authz_sidecar.authn import issuers
from authz_sidecar.authn.keys import IssuersKeys
from authz_sidecar.authz.cached import CachedAuthorizer
from authz_sidecar.authz.labels import warn_of_unknown
from authz_sidecar.authz.per_request import RequestAuthorizer
from authz_sidecar.config import descriptors
from authz_sidecar.config.configuration import Configuration
from authz_sidecar.config.limits import ProxyLimits
from authz_sidecar.config.table import ReplicaSettings
from authz_sidecar.core import hosts
from authz_sidecar.core.policy import Policy
from authz_sidecar.core.ports import Authorizer, Clock, ReplicaStatus
from authz_sidecar.core.tracing import Tracer
from authz_sidecar.decisions.authzen import AuthZen
from authz_sidecar.decisions.check import Check
from authz_sidecar.decisions.server import BoundedServer, DecisionsPort
from authz_sidecar.explain import Explainer
from authz_sidecar.identity import IdentityHeaders
from authz_sidecar.listening import Listeners
from authz_sidecar.observe import calls, families, starting, tracing
from authz_sidecar.observe.decision_log import DecisionLog
from authz_sidecar.observe.facts import FactsCollector
from authz_sidecar.observe.freshness import FreshnessCollector, KeysCollector
from authz_sidecar.observe.hooks import ReplicaHooks, RequestHooks
from authz_sidecar.observe.metrics import Metrics
from authz_sidecar.observe.output import Outputs
from authz_sidecar.observe.recent import RecentRefusals
from authz_sidecar.pipeline import Pipeline
from authz_sidecar.proxy.pool import UpstreamPool
from authz_sidecar.proxy.server import ProxyServer
from authz_sidecar.proxy.shared import Shared
from authz_sidecar.reloading import Reloader, Report
from authz_sidecar.replica.audit import warn_of_bound
from authz_sidecar.replica.holdings import ReplicaHoldings
from authz_sidecar.replica.memory_store import MemoryStore
from authz_sidecar.replica.redis_store import RedisStore
from authz_sidecar.replica.replica import Replica
from authz_sidecar.replica.store import Store
from authz_sidecar.source import UserServiceClient

COMPILED = not pipeline.__file__.endswith(".py")
"""Which of the two ways of installing it this one is."""

StatusReader = Callable[[], ReplicaStatus]


class Sidecar:
    """Every part of one sidecar. What it starts is undone by `stack`, in reverse order."""

    def __init__(
        self, configuration: Configuration, clock: Clock, outputs: Outputs, stack: AsyncExitStack
    ) -> None:
        self.settings = configuration.settings
        self._issuers = configuration.issuers
        self.clock = clock
        self.outputs = outputs
        self.stack = stack
        self.stop = asyncio.Event()
        self._listeners = Listeners(stack, self.settings.handover)
        self._reloader = Reloader(configuration, self._put_into_force, self._told_of_reload, clock.wall)
        self._metrics = Metrics(enforced=self.settings.mode == "enforce")
        self._recent = RecentRefusals(clock.wall)
        self._shared: Shared | None = None
        self._tracer: Tracer | None = None
        self._background: set[asyncio.Task[None]] = set()
        self._pipeline: Pipeline | None = None
        self._server: ProxyServer | None = None
        self._user_service: UserServiceClient | None = None
        self._replica: Replica | None = None
        self._status: StatusReader | None = None
        self._holdings: ReplicaHoldings | None = None
        self._ready = {"upstream": health.reachable(self.settings.upstream, self.settings.upstream_tls)}
        self._decides: dict[str, health.Check] = {}

    async def start(self) -> None:
        """Start in the order of need: sources, replica, admin port, and the proxied port last."""
        starting.tell(self.settings, self._issuers, self._policy.digest, compiled=COMPILED)
        self._export_what_is_in_force()
        session = await self._user_service_session()
        self.stack.callback(self._stop_background)
        keys = await self._start_keys(session)
        authorizer = await self._start_authorizer(session)
        authenticator = issuers.authenticator(self._issuers, keys.by_issuer)
        traces = tracing.start(self.settings.traces, self.stack)
        if traces is not None:
            self._tracer = traces
            authenticator, authorizer = traces.watching(authenticator, authorizer, self.clock)
        decides = self._pipeline = Pipeline(
            policy=self._policy,
            authenticator=authenticator,
            authorizer=authorizer,
            clock=self.clock,
            token_places=self.settings.token.places,
            enforced=self.settings.mode == "enforce",
            identifies=self._identity is not None,
            unnamed_host=hosts.normal(self.settings.upstream.authority.encode()),
        )
        admin_runner = self._admin_runner(keys, Explainer(lambda: decides, self._holdings))
        listeners = self._listeners
        listeners.bind(admin_runner, "AUTHZ_ADMIN_LISTEN", self.settings.admin.listen)
        if self.settings.decisions.listen:
            decisions = self._decisions_runner(decides)
            listeners.bind(decisions, "AUTHZ_DECISIONS_LISTEN", self.settings.decisions.listen)
        listeners.bind(await self.proxy_runner(decides), "AUTHZ_LISTEN", self.settings.listen)
        if handover := await listeners.open(self._decides, self._leave):
            self._in_background("handover", handover.serve())
        if self.settings.reload_interval:
            self._in_background("watch", self._reloader.watch(self.settings.reload_interval))

    def _leave(self) -> None:
        """A newer version is live: accept nothing more, and serve to its end what was accepted."""
        if self._server is not None:
            self._server.leave()
        self.stack.push_async_callback(self._listeners.stop_accepting)
        self.stop.set()

    @property
    def _policy(self) -> Policy:
        return self._reloader.in_force.file.policy

    def reload_soon(self) -> None:
        """Read the configuration anew, as `SIGHUP` asks for."""
        self._in_background("reload", _attempt(self._reloader, "SIGHUP"))

    def _put_into_force(self, configuration: Configuration) -> None:
        """All of it between two requests."""
        settings, policy = configuration.settings, configuration.file.policy
        if self._user_service is not None:
            self._user_service.use_token(settings.user_service.token)
        if self._server is not None:
            self._server.use_certificate(configuration.tls)
        if self._pipeline is not None and self._pipeline.policy.digest != policy.digest:
            self._pipeline.policy = policy
            if self._server is not None:
                self._server.reconsider(None)

    def _told_of_reload(self, report: Report) -> None:
        self._metrics.reloaded(accepted=report.accepted)
        self._metrics.expect_rules(rule.label for rule in self._policy.rules)
        if "AUTHZ_POLICY" in report.changed and self._user_service is not None:
            self._warn_of_unknown_labels(self._user_service)

    def _export_what_is_in_force(self) -> None:
        facts = FactsCollector(
            version=__version__,
            compiled=COMPILED,
            mode=self.settings.mode,
            validation=self.settings.validation,
            policy=lambda: self._policy.digest,
        )
        self._metrics.registry.register(facts)
        self._metrics.expect_rules(rule.label for rule in self._policy.rules)

    async def _user_service_session(self) -> ClientSession:
        return await self.stack.enter_async_context(
            ClientSession(
                timeout=ClientTimeout(total=self.settings.user_service.timeout),
                cookie_jar=DummyCookieJar(),
                trace_configs=[calls.tracing(self._metrics.called)],
            )
        )

    async def _start_keys(self, session: ClientSession) -> IssuersKeys:
        keys = IssuersKeys(session, self._issuers, self.clock)
        await keys.start()
        self.stack.push_async_callback(keys.stop)
        self._metrics.registry.register(KeysCollector(keys.status))
        self._decides["keys"] = health.keys(keys.statuses)
        return keys

    async def _start_authorizer(self, session: ClientSession) -> Authorizer:
        source, settings, clock = self.settings.user_service, self.settings.replica, self.clock
        user_service = self._user_service = UserServiceClient(
            session, source.url, source.token, clock, answer_seconds=source.timeout
        )
        self._metrics.export(families.CLOCK_OFFSET, lambda: user_service.clock_offset)
        self._warn_of_unknown_labels(user_service)
        if self.settings.validation == "request":
            self._decides["user_service"] = health.answers(user_service)
            return RequestAuthorizer(user_service)
        store = _store(settings)
        self.stack.push_async_callback(store.close)
        if settings.max_audit_age is not None:
            self._in_background("audit", warn_of_bound(user_service, settings.max_audit_age))
        replica = self._replica = Replica(settings, user_service, store, clock, ReplicaHooks(self._metrics))
        await replica.start()
        self.stack.push_async_callback(replica.stop)

        def status() -> ReplicaStatus:
            return replica.status(clock.monotonic())

        self._holdings = ReplicaHoldings(replica.near, store)
        authorizer = CachedAuthorizer(replica, settings.max_staleness, settings.audit_bound)
        self._status = status
        self._metrics.registry.register(FreshnessCollector(status))
        self._ready["replica"] = health.loaded(status)
        self._decides["fresh"] = health.decides(lambda: authorizer.undecided(clock.monotonic()))
        return authorizer

    def _warn_of_unknown_labels(self, user_service: UserServiceClient) -> None:
        labels = {label for rule in self._policy.rules for label in rule.requirement.permissions}
        self._in_background("labels", warn_of_unknown(user_service, labels))

    def _in_background(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name=name)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def _stop_background(self) -> None:
        for task in self._background:
            task.cancel()

    def _admin_runner(self, keys: IssuersKeys, explainer: Explainer) -> web.AppRunner:
        sources = admin.AdminSources(
            health=health.Health(self._ready, self._decides),
            metrics=self._metrics.exposition,
            status=lambda: self._describe(keys),
            explain=explainer.explain,
            recent=self._recent.listed,
            reload=self._reload_on_demand,
            token=lambda: self._reloader.in_force.settings.admin.token,
            page=lambda: self._shown(keys),
            wall=self.clock.wall,
        )
        return web.AppRunner(admin.application(sources, self.settings.admin), access_log=None)

    def _shown(self, keys: IssuersKeys) -> dict[str, Any]:
        """What the page shows."""
        return {
            "now": self.clock.wall(),
            "status": self._describe(keys),
            "totals": self._metrics.totals(),
            "recent": self._recent.listed(),
            "connections": len(self._shared.clients) if self._shared else 0,
            "in_flight": len(self._shared.revocable) if self._shared else 0,
        }

    async def _reload_on_demand(self) -> tuple[bool, dict[str, Any]]:
        report = await self._reloader.reload("the admin port")
        return report.accepted, report.as_dict()

    def _describe(self, keys: IssuersKeys) -> dict[str, Any]:
        """What `/status` shows."""
        return {
            "validation": self.settings.validation,
            "mode": self.settings.mode,
            "policy": self._policy.digest,
            "reload": self._reloader.latest.as_dict() if self._reloader.latest else None,
            "max_staleness": self.settings.replica.max_staleness,
            "max_audit_age": self.settings.replica.max_audit_age,
            "keys": keys.status().as_dict(),
            "issuers": {name: status.as_dict() for name, status in keys.statuses().items()},
            "replica": self._status().as_dict() if self._status else None,
        }

    @cached_property
    def request_hooks(self) -> RequestHooks:
        """What both ports that decide report to."""
        sample = self.settings.decision_log_sample
        decision_log = DecisionLog(self.outputs.decisions, self.clock.wall, sample)
        self._metrics.watch(self.outputs)
        return RequestHooks(self._metrics, decision_log, self._recent)

    @cached_property
    def _limits(self) -> ProxyLimits:
        return descriptors.fitting(self.settings.limits, ports=1 + bool(self.settings.decisions.listen))

    @cached_property
    def _identity(self) -> IdentityHeaders | None:
        settings = self.settings
        if not settings.identity.parts:
            return None
        return IdentityHeaders(settings.identity, self._issuers[0].audiences[0], self.clock.wall)

    def _decisions_runner(self, pipeline: Pipeline) -> web.ServerRunner:
        """Where gateways ask. It is ready without the service, which it never speaks to."""
        hooks, limits, source = self.request_hooks, self._limits, self.settings.decisions.source
        needed = {name: check for name, check in self._ready.items() if name != "upstream"}
        readiness = health.Health(needed, self._decides)
        port = DecisionsPort(
            Check(pipeline, hooks, self.clock, source, limits.target_bytes, self._identity),
            AuthZen(pipeline, hooks, self.clock, self.settings.decisions, limits.body_seconds),
            {"/livez": readiness.livez, "/readyz": readiness.readyz},
            hooks,
            self.clock,
            limits,
        )
        server = BoundedServer(port, hooks, limits)
        self._metrics.export(families.DECISIONS_CONNECTIONS, lambda: server.open_connections)
        return web.ServerRunner(server, shutdown_timeout=limits.drain_seconds)

    async def proxy_runner(self, pipeline: Pipeline) -> web.ServerRunner:
        """The byte path, ready to listen."""
        limits = self._limits
        shared = self._shared = Shared(
            pipeline,
            UpstreamPool(self.settings.upstream, limits, self.clock, self.settings.upstream_tls),
            self.request_hooks,
            self.clock,
            limits,
            self.settings.trusts,
            self.settings.cors_origins,
            self._identity,
            self._tracer,
        )
        shared.request_id_header = self.settings.request_id_header.encode()
        tls, proxy_protocol = self._reloader.in_force.tls, self.settings.proxy_protocol
        server = self._server = ProxyServer(shared, tls=tls, proxy_protocol=proxy_protocol)
        self._metrics.export(families.CONNECTIONS, lambda: len(shared.clients))
        self._metrics.export(families.IN_FLIGHT, lambda: len(shared.revocable))
        if self._replica is not None:
            self._replica.watch(server.reconsider)
        # The runner only calls what `ProxyServer` has, too: it makes protocols and is told to stop.
        return web.ServerRunner(cast(web.Server, server), shutdown_timeout=limits.drain_seconds)


async def _attempt(reloader: Reloader, cause: str) -> None:
    await reloader.reload(cause)


def _store(settings: ReplicaSettings) -> Store:
    if settings.redis_url is None:
        return MemoryStore()
    return RedisStore(settings.redis_url, settings.redis_prefix)
