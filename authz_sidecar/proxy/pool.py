"""Connections to the protected service, kept for reuse."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from typing import Final, cast

from authz_sidecar.config.addresses import UpstreamAddress
from authz_sidecar.config.limits import ProxyLimits
from authz_sidecar.config.tls import client as client_context
from authz_sidecar.core import headers
from authz_sidecar.core.errors import UpstreamTimeout, UpstreamUnreachable
from authz_sidecar.core.ports import Clock
from authz_sidecar.proxy.connection import Outbox
from authz_sidecar.proxy.deadlines import Sweep
from authz_sidecar.proxy.messages import IDEMPOTENT
from authz_sidecar.proxy.upstream import UpstreamConnection

FRESH_SECONDS: Final = 1.0
"""A request that its sender must not send twice avoids connections that have been idle for so long: they may
just be ending, and the request lost."""
KEPT_SHARE: Final = 0.9
"""Of the time the service says it keeps a connection: it counts from when it sent, we from when we read."""


class UpstreamPool:
    """Hands out connections: the most recently used idle one, or a new one up to the limit."""

    def __init__(
        self,
        address: UpstreamAddress,
        limits: ProxyLimits,
        clock: Clock,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.address = address
        self.authority = address.authority.encode("ascii")
        self.outbox = Outbox()
        self._limits = limits
        self._tls = (tls or client_context()) if address.tls else None
        self._idle: list[UpstreamConnection] = []
        self._all: set[UpstreamConnection] = set()
        self._opening = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._sweep = Sweep(self._all, clock)
        self.deadline = self._sweep.deadline
        self.now = clock.monotonic

    @property
    def connections(self) -> list[UpstreamConnection]:
        """All open ones, idle or not."""
        return list(self._all)

    def checkout(self, method: str) -> UpstreamConnection | None:
        """An idle connection at once, if there is one fit for a request of this method."""
        return None if self._waiting else self._pick(method)

    async def acquire(self, method: str, *, new: bool) -> UpstreamConnection:
        """A connection, or a `new` one, after waiting for it in turn if need be. Raises UpstreamError."""
        try:
            async with asyncio.timeout(self._limits.connect_seconds):
                if self._waiting:
                    await self._wait()
                while self._full:
                    if not new and (connection := self._pick(method)) is not None:
                        return connection
                    if self._idle:
                        self._idle.pop(0).close()  # too old for this request: a new one takes its place
                    await self._wait()
                return await self._open()
        except TimeoutError as error:
            raise UpstreamTimeout("no connection to the upstream in time") from error
        except OSError as error:
            raise UpstreamUnreachable(f"the upstream accepts no connection: {error}") from error

    def take_back(self, connection: UpstreamConnection, *, whole: bool) -> None:
        """Keep a connection whose exchange has ended, if its answer and the `whole` request went over it.

        Who picks it looks again.
        """
        response = connection.reader.response
        if not whole or response is None or not response.complete or not response.keep_alive:
            connection.close()
            return
        seconds = self._limits.upstream_idle_seconds
        if b"keep-alive" in response.fields.known:
            seconds = min(seconds, KEPT_SHARE * headers.kept_seconds(response.fields))
        connection.rest(seconds)
        self._idle.append(connection)
        if self._waiting:
            self._wake()

    def made(self, connection: UpstreamConnection) -> None:
        self._all.add(connection)

    def lost(self, connection: UpstreamConnection) -> None:
        self._all.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._wake()

    def close(self) -> None:
        """Drop every connection."""
        self._sweep.stop()
        for connection in list(self._all):
            connection.close()

    @property
    def _full(self) -> bool:
        return len(self._all) + self._opening >= self._limits.upstream_connections

    def _pick(self, method: str) -> UpstreamConnection | None:
        idle, now = self._idle, self.now()
        while idle:
            connection = idle[-1]
            if connection.usable(now):
                fit = method in IDEMPOTENT or now - connection.idle_since < FRESH_SECONDS
                return idle.pop() if fit else None
            idle.pop().close()
        return None

    async def _wait(self) -> None:
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self._wake()  # it was our turn: let the next one have it
            raise

    def _wake(self) -> None:
        """A connection or a place for one has become free."""
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                return

    async def _open(self) -> UpstreamConnection:
        self._sweep.start()
        self._opening += 1
        try:
            return await self._connect()
        except BaseException:
            self._wake()
            raise
        finally:
            self._opening -= 1

    async def _connect(self) -> UpstreamConnection:
        loop, address = asyncio.get_running_loop(), self.address

        connection = UpstreamConnection(self, self._limits)
        factory = cast(Callable[[], asyncio.Protocol], lambda: connection)
        if address.path is not None:
            await loop.create_unix_connection(factory, address.path)
        else:
            await loop.create_connection(factory, address.host, address.port, ssl=self._tls)
        return connection
