"""The ports on which requests come in: the proxied one, and the one where other gateways ask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

from aiohttp import web

from authz_sidecar.admin.health import Check as HealthCheck
from authz_sidecar.admin.health import Health
from authz_sidecar.config.configuration import Configuration
from authz_sidecar.config.limits import ProxyLimits
from authz_sidecar.config.table import Settings
from authz_sidecar.core.ports import Clock
from authz_sidecar.core.tracing import Tracer
from authz_sidecar.decisions.authzen import AuthZen
from authz_sidecar.decisions.check import Check
from authz_sidecar.decisions.server import BoundedServer, DecisionsPort
from authz_sidecar.identity import IdentityHeaders
from authz_sidecar.observe.hooks import RequestHooks
from authz_sidecar.pipeline import Pipeline
from authz_sidecar.proxy.pool import UpstreamPool
from authz_sidecar.proxy.server import ProxyServer
from authz_sidecar.proxy.shared import Shared


@dataclass
class Serving:
    """Makes what listens there, and knows what is under way."""

    settings: Settings
    limits: ProxyLimits
    """Those of this process."""
    identity: IdentityHeaders | None
    clock: Clock
    hooks: RequestHooks
    server: ProxyServer | None = field(default=None, init=False)
    _shared: Shared | None = field(default=None, init=False)
    _decisions: BoundedServer | None = field(default=None, init=False)

    def proxied(
        self, pipeline: Pipeline, configuration: Configuration, tracer: Tracer | None
    ) -> web.ServerRunner:
        """The byte path, ready to listen."""
        settings = self.settings
        shared = self._shared = Shared(
            pipeline,
            UpstreamPool(settings.upstream, self.limits, self.clock, settings.upstream_tls),
            self.hooks,
            self.clock,
            self.limits,
            settings.trusts,
            settings.cors_origins,
            self.identity,
            tracer,
        )
        shared.request_id_header = settings.request_id_header.encode()
        server = self.server = ProxyServer(
            shared, tls=configuration.tls, proxy_protocol=settings.proxy_protocol
        )
        # The runner only calls what `ProxyServer` has, too: it makes protocols and is told to stop.
        return web.ServerRunner(cast(web.Server, server), shutdown_timeout=self.limits.drain_seconds)

    def decisions(
        self, pipeline: Pipeline, ready: Mapping[str, HealthCheck], decides: Mapping[str, HealthCheck]
    ) -> web.ServerRunner:
        """Where gateways ask. It is ready without the service, which it never speaks to."""
        hooks, limits, settings = self.hooks, self.limits, self.settings.decisions
        needed = {name: check for name, check in ready.items() if name != "upstream"}
        readiness = Health(needed, decides)
        port = DecisionsPort(
            Check(pipeline, hooks, self.clock, settings.source, limits.target_bytes, self.identity),
            AuthZen(pipeline, hooks, self.clock, settings, limits.body_seconds),
            {"/livez": readiness.livez, "/readyz": readiness.readyz},
            hooks,
            self.clock,
            limits,
        )
        server = self._decisions = BoundedServer(port, hooks, limits)
        return web.ServerRunner(server, shutdown_timeout=limits.drain_seconds)

    def leave(self) -> None:
        """Let each connection end with its next answer: its client learns it before it asks again."""
        if self.server is not None:
            self.server.leave()
        if self._decisions is not None:
            self._decisions.leaving = True

    @property
    def connections(self) -> int:
        """Of clients."""
        return len(self._shared.clients) if self._shared else 0

    @property
    def places_taken(self) -> int:
        """All connections of this process, those that have yet to agree on TLS included."""
        handshakes = len(self._shared.handshakes) if self._shared else 0
        return self.connections + handshakes + self.decisions_connections

    @property
    def in_flight(self) -> int:
        """Requests that were let through and have not ended."""
        return len(self._shared.revocable) if self._shared else 0

    @property
    def decisions_connections(self) -> int:
        """Of gateways."""
        return self._decisions.open_connections if self._decisions else 0
