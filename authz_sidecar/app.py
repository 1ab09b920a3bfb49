"""The composition root: builds every part, joins them, starts and stops them in order.

`Sidecar` is all of one in one process. With several, `workers` has what is different about each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from functools import cached_property
from typing import Any

from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, web

from authz_sidecar import __version__, pipeline, reloading
from authz_sidecar.admin import health
from authz_sidecar.admin import server as admin
from authz_sidecar.authn import issuers
from authz_sidecar.authn.keys import IssuersKeys, KeysByIssuer
from authz_sidecar.authz.cached import CachedAuthorizer
from authz_sidecar.authz.labels import warn_of_unknown
from authz_sidecar.authz.per_request import RequestAuthorizer
from authz_sidecar.config import descriptors
from authz_sidecar.config.configuration import Configuration, Contents
from authz_sidecar.config.issuer import user_fields
from authz_sidecar.config.limits import ProxyLimits
from authz_sidecar.core import hosts
from authz_sidecar.core.policy import Policy
from authz_sidecar.core.ports import Authorizer, Clock, ReplicaStatus
from authz_sidecar.core.tracing import Tracer
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
from authz_sidecar.reloading import Reloader, Report
from authz_sidecar.replica import stores
from authz_sidecar.replica.audit import warn_of_bound
from authz_sidecar.replica.holdings import ReplicaHoldings
from authz_sidecar.replica.replica import Replica
from authz_sidecar.serving import Serving
from authz_sidecar.source import UserServiceClient

COMPILED = not pipeline.__file__.endswith(".py")
"""Which of the two ways of installing it this one is."""


class Sidecar:
    """Every part of one sidecar. What it starts is undone by `stack`, in reverse order."""

    def __init__(
        self, configuration: Configuration, clock: Clock, outputs: Outputs, stack: AsyncExitStack
    ) -> None:
        self.settings = configuration.settings
        self.issuers = configuration.issuers
        self.clock = clock
        self.outputs = outputs
        self.stack = stack
        self.stop = asyncio.Event()
        self.leaving = False
        self.reloader = Reloader(
            configuration, self._put_into_force, self.told_of_reload, clock.wall, self.spread
        )
        self.metrics = Metrics(enforced=self.settings.mode == "enforce")
        self.recent = RecentRefusals(clock.wall)
        self.tracer: Tracer | None = None
        self.replica: Replica | None = None
        self.ready = {"upstream": health.reachable(self.settings.upstream, self.settings.upstream_tls)}
        self.decides: dict[str, health.Check] = {}
        self._background: set[asyncio.Task[Any]] = set()
        self._pipeline: Pipeline | None = None
        self._user_service: UserServiceClient | None = None
        self._status: Callable[[], ReplicaStatus] | None = None
        self._holdings: ReplicaHoldings | None = None

    async def start(self) -> None:
        """Start in the order of need: sources, replica, admin port, and the proxied port last."""
        self.tell()
        self.expect_rules()
        session = await self._user_service_session()
        self.stack.callback(self._stop_background)
        keys = await self.start_keys(session)
        self.decides["keys"] = health.keys(keys.statuses)
        authorizer = await self.start_authorizer(session)
        authenticator = issuers.authenticator(self.issuers, keys.by_issuer)
        traces = tracing.start(self.settings.traces, self.stack)
        if traces is not None:
            self.tracer = traces
            authenticator, authorizer = traces.watching(authenticator, authorizer, self.clock)
        decides = self._pipeline = Pipeline(
            policy=self._policy,
            authenticator=authenticator,
            authorizer=authorizer,
            clock=self.clock,
            token_places=self.settings.token.places,
            enforced=self.settings.mode == "enforce",
            identifies=self.serving.identity is not None,
            unnamed_host=hosts.normal(self.settings.upstream.authority.encode()),
        )
        await self.open(decides, keys)

    async def open(self, decides: Pipeline, keys: KeysByIssuer) -> None:
        """Listen on all ports."""
        listeners = self.listeners
        self.stack.callback(listeners.close)
        listeners.bind_all(self.settings)
        listeners.serve("AUTHZ_ADMIN_LISTEN", self.admin_runner(decides, keys))
        await self.serve_requests(listeners, decides)
        await listeners.wait(self.decides)
        await listeners.open(self.stack)
        if handover := listeners.take_over(self.clock.monotonic):
            self.in_background("handover", handover.serve(self.leave))
        self.watch_files()

    @cached_property
    def listeners(self) -> Listeners:
        """Raises ConfigurationError."""
        return Listeners(self.settings.handover)

    def leave(self) -> None:
        """A newer version is live: accept nothing more, and serve to its end what was accepted."""
        self.leaving = True
        self.serving.leave()
        self.stack.push_async_callback(self.listeners.leave, self.settings.limits.drain_seconds)
        self.stop.set()

    async def serve_requests(self, listeners: Listeners, decides: Pipeline) -> None:
        """The ports on which requests come in, ready to listen."""
        serving = self.serving
        if self.settings.decisions.listen:
            runner = serving.decisions(decides, self.ready, self.decides)
            listeners.serve("AUTHZ_DECISIONS_LISTEN", runner)
            self.metrics.export(families.DECISIONS_CONNECTIONS, lambda: serving.decisions_connections)
        listeners.serve("AUTHZ_LISTEN", await self.proxy_runner(decides))
        self.metrics.export(families.CONNECTIONS, lambda: serving.connections)
        self.metrics.export(families.IN_FLIGHT, lambda: serving.in_flight)
        if self.replica is not None and serving.server is not None:
            self.replica.watch(serving.server.reconsider)

    async def proxy_runner(self, pipeline: Pipeline) -> web.ServerRunner:
        """The byte path."""
        return self.serving.proxied(pipeline, self.reloader.in_force, self.tracer)

    @property
    def _policy(self) -> Policy:
        return self.reloader.in_force.file.policy

    # Another configuration

    def watch_files(self) -> None:
        if self.settings.reload_interval:
            self.in_background("watch", self.reloader.watch(self.settings.reload_interval))

    def reload_soon(self) -> None:
        """Read the configuration anew, as `SIGHUP` asks for."""
        self.in_background("reload", self.reloader.reload("SIGHUP"))

    def _put_into_force(self, configuration: Configuration) -> None:
        """All of it between two requests."""
        settings, policy, server = configuration.settings, configuration.file.policy, self.serving.server
        if self._user_service is not None:
            self._user_service.use_token(settings.user_service.token)
        if server is not None:
            server.use_certificate(configuration.tls)
        if self._pipeline is not None and self._pipeline.policy.digest != policy.digest:
            self._pipeline.policy = policy
            if server is not None:
                server.reconsider(None)

    def expect_rules(self) -> None:
        self.metrics.expect_rules(rule.label for rule in self._policy.rules)

    async def spread(self, _contents: Contents) -> Sequence[str]:
        """Put what is in force here into force in all other processes. What went wrong there."""
        return ()

    def told_of_reload(self, report: Report) -> None:
        reloading.log(report)
        self.metrics.reloaded(accepted=report.accepted)
        self.expect_rules()
        if "AUTHZ_POLICY" in report.changed and self._user_service is not None:
            self.warn_of_unknown_labels(self._user_service)

    # Parts

    def tell(self) -> None:
        """In the log what starts, and in metrics what is in force."""
        starting.tell(self.settings, self.issuers, self._policy.digest, compiled=COMPILED)
        facts = FactsCollector(
            version=__version__,
            compiled=COMPILED,
            mode=self.settings.mode,
            validation=self.settings.validation,
            policy=lambda: self._policy.digest,
        )
        self.metrics.registry.register(facts)

    async def _user_service_session(self) -> ClientSession:
        return await self.stack.enter_async_context(
            ClientSession(
                timeout=ClientTimeout(total=self.settings.user_service.timeout),
                cookie_jar=DummyCookieJar(),
                trace_configs=[calls.tracing(self.metrics.called)],
            )
        )

    async def start_keys(self, session: ClientSession) -> KeysByIssuer:
        keys = IssuersKeys(session, self.issuers, self.clock)
        await keys.start()
        self.stack.push_async_callback(keys.stop)
        self.metrics.registry.register(KeysCollector(keys.status))
        return keys

    async def start_authorizer(self, session: ClientSession) -> Authorizer:
        source, settings, clock = self.settings.user_service, self.settings.replica, self.clock
        user_service = self._user_service = UserServiceClient(
            session, source.url, source.token, clock, answer_seconds=source.timeout
        )
        self.metrics.export(families.CLOCK_OFFSET, lambda: user_service.clock_offset)
        self.warn_of_unknown_labels(user_service)
        if self.settings.validation == "request":
            self.decides["user_service"] = health.answers(user_service)
            per_request = RequestAuthorizer(user_service, user_fields(self.issuers))
            self.in_background("user_fields", per_request.learn())
            self.decides["user_fields"] = health.names(per_request.unnamed)
            return per_request
        store = stores.of(settings)
        self.stack.push_async_callback(store.close)
        if settings.max_audit_age is not None:
            self.in_background("audit", warn_of_bound(user_service, settings.max_audit_age))
        hooks, fields = ReplicaHooks(self.metrics), user_fields(self.issuers)
        replica = self.replica = Replica(settings, user_service, store, clock, hooks, fields)
        await replica.start()
        self.stack.push_async_callback(replica.stop)

        def status() -> ReplicaStatus:
            return replica.status(clock.monotonic())

        self._holdings = ReplicaHoldings(replica.near, store)
        authorizer = CachedAuthorizer(replica, settings.max_staleness, settings.audit_bound)
        self._status = status
        self.metrics.registry.register(FreshnessCollector(status))
        self.ready["replica"] = health.loaded(lambda: status().was_live)
        self.decides["fresh"] = health.decides(lambda: authorizer.undecided(clock.monotonic()))
        self.decides["user_fields"] = health.names(replica.unnamed)
        return authorizer

    def warn_of_unknown_labels(self, user_service: UserServiceClient) -> None:
        labels = {label for rule in self._policy.rules for label in rule.requirement.permissions}
        self.in_background("labels", warn_of_unknown(user_service, labels))

    def in_background(self, name: str, work: Coroutine[Any, Any, object]) -> None:
        task = asyncio.create_task(work, name=name)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def _stop_background(self) -> None:
        for task in self._background:
            task.cancel()

    @cached_property
    def request_hooks(self) -> RequestHooks:
        """What both ports that decide report to."""
        sample = self.settings.decision_log_sample
        decision_log = DecisionLog(self.outputs.decisions, self.clock.wall, sample)
        self.metrics.watch(self.outputs)
        return RequestHooks(self.metrics, decision_log, self.recent)

    @property
    def limits(self) -> ProxyLimits:
        """Those that this process can keep."""
        return descriptors.fitting(self.settings.limits, self.ports)

    @property
    def ports(self) -> int:
        """On which requests come in."""
        return 1 + bool(self.settings.decisions.listen)

    @cached_property
    def serving(self) -> Serving:
        settings, identity = self.settings, None
        if settings.identity.parts:
            identity = IdentityHeaders(settings.identity, self.issuers[0].audiences[0], self.clock.wall)
        return Serving(settings, self.limits, identity, self.clock, self.request_hooks)

    # The admin port

    def admin_runner(self, decides: Pipeline, keys: KeysByIssuer) -> web.AppRunner:
        explainer = Explainer(lambda: decides, self._holdings, self._user_service)
        sources = admin.AdminSources(
            health=health.Health(self.ready, self.decides),
            metrics=self.metrics.exposition,
            status=lambda: self.describe(keys),
            explain=explainer.explain,
            recent=self.refusals,
            reload=self._reload_on_demand,
            token=lambda: self.reloader.in_force.settings.admin.token,
            page=lambda: self._shown(keys),
            wall=self.clock.wall,
            count=self.count,
            leaving=lambda: self.leaving,
        )
        return web.AppRunner(admin.application(sources, self.settings.admin), access_log=None)

    async def count(self) -> None:
        """Have `metrics` and what is told of requests include what other processes have counted."""

    def refusals(self) -> list[dict[str, Any]]:
        """The latest, newest first."""
        return self.recent.listed()

    def under_way(self) -> dict[str, int]:
        """How much there is of what comes and goes."""
        return {"connections": self.serving.connections, "in_flight": self.serving.in_flight}

    def _shown(self, keys: KeysByIssuer) -> dict[str, Any]:
        """What the page shows."""
        return {
            "now": self.clock.wall(),
            "status": self.describe(keys),
            "totals": self.metrics.totals(),
            "recent": self.refusals(),
            **self.under_way(),
        }

    async def _reload_on_demand(self) -> tuple[bool, dict[str, Any]]:
        report = await self.reloader.reload("the admin port")
        return report.accepted, report.as_dict()

    def describe(self, keys: KeysByIssuer) -> dict[str, Any]:
        """What `/status` shows."""
        return {
            "validation": self.settings.validation,
            "mode": self.settings.mode,
            "policy": self._policy.digest,
            "reload": self.reloader.latest.as_dict() if self.reloader.latest else None,
            "max_staleness": self.settings.replica.max_staleness,
            "max_audit_age": self.settings.replica.max_audit_age,
            "keys": keys.status().as_dict(),
            "issuers": {name: status.as_dict() for name, status in keys.statuses().items()},
            "replica": self._status().as_dict() if self._status else None,
        }
