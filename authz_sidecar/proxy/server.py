"""The byte path as aiohttp's runner and the replica see it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Collection
from contextlib import suppress

from authz_sidecar.core import naming
from authz_sidecar.core.entities import EntityKey
from authz_sidecar.core.verdicts import Decision
from authz_sidecar.pipeline import Undecided
from authz_sidecar.proxy.client import Client
from authz_sidecar.proxy.downstream import Downstream
from authz_sidecar.proxy.handshake import Handshake
from authz_sidecar.proxy.proxied import ProxiedDownstream
from authz_sidecar.proxy.shared import Ending, Revocable, Shared


class ProxyServer:
    """Makes a protocol for each connection, and ends them all. Stands in for `aiohttp.web.Server`."""

    def __init__(
        self, shared: Shared, *, tls: ssl.SSLContext | None = None, proxy_protocol: bool = False
    ) -> None:
        self._shared = shared
        self._tls = tls
        self._protocol = ProxiedDownstream if proxy_protocol else Downstream

    # aiohttp's runner calls these

    def __call__(self) -> Downstream | Handshake:
        if self._tls is None:
            return self._protocol(self._shared)
        return Handshake(self._shared, self._tls, self._protocol)

    @property
    def connections(self) -> list[Client | Ending]:
        """Also those that have yet to agree on TLS."""
        return [*self._shared.clients, *self._shared.handshakes]

    def pre_shutdown(self) -> None:
        """Close idle connections and let the others end with their request."""
        self._shared.draining = True
        for handshake in list(self._shared.handshakes):
            handshake.abort()
        for client in self.clients:
            client.drain()

    async def shutdown(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 (aiohttp's interface)
        """Wait for what is under way, then cut off what is left."""
        await self.emptied(timeout)
        for client in self.clients:
            client.reset()
        self._shared.stop()

    @property
    def clients(self) -> list[Client]:
        """Who may ask."""
        return list(self._shared.clients)

    async def emptied(self, seconds: float | None) -> None:
        """Until the last client has gone, but no longer than this."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                if self._shared.clients or self._shared.handshakes:
                    await self._shared.empty.wait()

    # a newer version has taken over

    def leave(self) -> None:
        """Let each connection end with its next answer: its client learns it before it asks again."""
        self._shared.leaving = True

    def use_certificate(self, tls: ssl.SSLContext | None) -> None:
        """What connections agree on from now on. Whether they speak TLS at all is settled at the start."""
        if self._tls is not None and tls is not None:
            self._tls = tls

    # the replica calls this, and whoever puts another policy into force

    def reconsider(self, keys: Collection[EntityKey] | None) -> None:
        """Decide again on what is under way and end what is no longer permitted.

        `keys` are the entities that have changed; `None`: any may have.
        """
        everyone = keys is None or any(key.kind == "group" for key in keys)
        subjects = {naming.subject(key.key) for key in keys or ()}
        for exchange in list(self._shared.revocable):
            decision = exchange.decision
            if decision is None or decision.revoking:
                continue
            identity = decision.identity  # none where nobody was asked for
            if everyone or (identity is not None and identity.subject in subjects):
                self._reconsider(exchange, decision)

    def _reconsider(self, exchange: Revocable, decision: Decision) -> None:
        found = self._shared.pipeline.reconsider(decision, exchange.head)
        if isinstance(found, Decision):
            exchange.revise(found)
        else:
            self._shared.spawn(_revise_later(exchange, found))


async def _revise_later(exchange: Revocable, undecided: Undecided) -> None:
    exchange.revise(await undecided())
