"""A proxy between a raw client and a raw upstream."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

from aiohttp import web

from authz_sidecar.config.addresses import UpstreamAddress
from authz_sidecar.config.limits import ProxyLimits
from authz_sidecar.core.bearer import TokenPlaces
from authz_sidecar.identity import IdentityHeaders
from authz_sidecar.pipeline import AUTHORIZATION
from authz_sidecar.proxy.pool import UpstreamPool
from authz_sidecar.proxy.server import ProxyServer
from authz_sidecar.proxy.shared import Shared
from lab import DEADLINE
from lab.wire.decisions import Clock, Observer, Permissions, pipeline
from lab.wire.peers import Client, Peer, Upstream

PATIENT = ProxyLimits(connect_seconds=DEADLINE)
"""The one limit that the test's clock does not reach is none on a busy machine."""


@dataclass
class Rig:
    """Everything a test touches."""

    upstream: Upstream
    server: ProxyServer
    shared: Shared
    runner: web.ServerRunner
    permissions: Permissions
    observer: Observer
    clock: Clock
    tls: ssl.SSLContext | None = None
    clients: list[Client] = field(default_factory=list)

    @property
    def port(self) -> int:
        port: int = self.runner.addresses[0][1]
        return port

    def paused(self) -> bool:
        """Whether the proxy has stopped reading from someone."""
        ends = [*self.server.clients, *self.shared.pool.connections]
        return not all(end.reading for end in ends)

    async def client(self) -> Client:
        client = await Client.connect(self.port, self.tls)
        self.clients.append(client)
        return client

    async def exchanged(self, request: bytes, answer: bytes) -> tuple[Client, Peer]:
        """A client, and the kept connection over which this request of it was answered."""
        client = await self.client()
        await client.send(request)
        peer = await self.upstream.accept()
        await peer.contains(request.partition(b" HTTP")[0])
        await peer.send(answer)
        await client.contains(answer)
        return client, peer

    async def ask(self, request: bytes) -> bytes:
        """Send bytes on a new connection, stop sending, and read everything that comes back."""
        async with await Client.connect(self.port, self.tls) as client:
            await client.send(request)
            if self.tls is None:
                client.eof()
            return await client.rest()


@asynccontextmanager
async def running(
    limits: ProxyLimits | None = None,
    *,
    answer: bytes | None = None,
    enforced: bool = True,
    trusts: Callable[[str], bool] = lambda _: False,
    unix_path: str | None = None,
    upstream_tls: tuple[ssl.SSLContext, ssl.SSLContext] | None = None,
    tls: tuple[ssl.SSLContext, ssl.SSLContext] | None = None,
    proxy_protocol: bool = False,
    identity: IdentityHeaders | None = None,
    places: TokenPlaces = AUTHORIZATION,
    service_port: int = 0,
) -> AsyncIterator[Rig]:
    """A running rig. TLS contexts come as (server's, client's). `service_port`: of a service of its own."""
    limits = limits or PATIENT
    upstream = Upstream()
    upstream.answer = answer
    await upstream.start(unix_path, upstream_tls[0] if upstream_tls else None)
    scheme, port = "https" if upstream_tls else "http", service_port or upstream.port
    url = f"unix:{unix_path}" if unix_path else f"{scheme}://localhost:{port}"
    permissions, observer, clock = Permissions(), Observer(), Clock()
    pool = UpstreamPool(UpstreamAddress.parse(url), limits, clock, upstream_tls[1] if upstream_tls else None)
    decides = pipeline(permissions, enforced=enforced, identifies=identity is not None, places=places)
    shared = Shared(decides, pool, observer, clock, limits, trusts, identity=identity)
    server = ProxyServer(shared, tls=tls[0] if tls else None, proxy_protocol=proxy_protocol)
    runner = web.ServerRunner(cast(web.Server, server), shutdown_timeout=1)  # as app.py does
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    rig = Rig(upstream, server, shared, runner, permissions, observer, clock, tls[1] if tls else None)
    try:
        yield rig
    finally:
        for client in rig.clients:
            client.reset()
        await upstream.stop()
        await runner.cleanup()
