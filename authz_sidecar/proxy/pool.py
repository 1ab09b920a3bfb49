"""Connections to the protected service, kept for reuse."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from math import ceil
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
from authz_sidecar.proxy.turns import Turns
from authz_sidecar.proxy.upstream import UpstreamConnection
from authz_sidecar.proxy.upstream_tls import secure
from authz_sidecar.reasons import reason

FRESH_SECONDS: Final = 1.0
"""A request that its sender must not send twice avoids connections that have been idle for so long: they may
just be ending, and the request lost."""
KEPT_SHARE: Final = 0.9
"""Of the time the service says it keeps a connection: it counts from when it sent, we from when we read."""

ANONYMOUS_SHARE: Final = 0.75
"""Of all connections, requests of nobody knows whom may take so many. An answer that never ends, a body that
never comes or a WebSocket each hold one; who has proved who they are must find the others free."""


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
        self._turns = Turns()
        self._anonymous = 0
        """How many anonymous requests have a connection or wait for theirs."""
        self._most_anonymous = ceil(ANONYMOUS_SHARE * limits.upstream_connections)
        self._anonymous_turns = Turns()
        self._sweep = Sweep(self._all, clock)
        self.deadline = self._sweep.deadline
        self.now = clock.monotonic

    @property
    def connections(self) -> list[UpstreamConnection]:
        """All open ones, idle or not."""
        return list(self._all)

    def checkout(self, method: str, *, anonymous: bool) -> UpstreamConnection | None:
        """An idle connection at once, if there is one fit for a request of this method."""
        if self._turns.waiting or (anonymous and not self._takes_anonymous):
            return None
        connection = self._pick(method)
        if connection is not None and anonymous:
            self._anonymous += 1
            connection.anonymous = True
        return connection

    async def acquire(self, method: str, *, new: bool, anonymous: bool) -> UpstreamConnection:
        """A connection, or a `new` one, after waiting for it in turn if need be. Raises UpstreamError."""
        try:
            async with asyncio.timeout(self._limits.connect_seconds):
                if anonymous:
                    return await self._acquire_anonymous(method, new=new)
                return await self._acquire(method, new=new)
        except TimeoutError as error:
            raise UpstreamTimeout("no connection to the upstream in time") from error
        except OSError as error:
            raise UpstreamUnreachable(f"the upstream accepts no connection: {reason(error)}") from error

    async def _acquire_anonymous(self, method: str, *, new: bool) -> UpstreamConnection:
        if self._anonymous_turns.waiting:
            await self._anonymous_turns.wait()
        while self._anonymous >= self._most_anonymous:
            await self._anonymous_turns.wait()
        self._anonymous += 1
        try:
            connection = await self._acquire(method, new=new)
        except BaseException:
            self._leave()
            raise
        connection.anonymous = True
        return connection

    async def _acquire(self, method: str, *, new: bool) -> UpstreamConnection:
        if self._turns.waiting:
            await self._turns.wait()
        while self._full:
            if not new and (connection := self._pick(method)) is not None:
                self._wake_next()
                return connection
            if self._idle:
                self._idle.pop(0).close()  # too old for this request: a new one takes its place
            await self._turns.wait()
        return await self._open()

    def _wake_next(self) -> None:
        """Who was waited for has what it needs; behind it somebody may find that, too."""
        if self._turns.waiting and (self._idle or not self._full):
            self._turns.wake()

    @property
    def _takes_anonymous(self) -> bool:
        return self._anonymous < self._most_anonymous and not self._anonymous_turns.waiting

    def _leave(self) -> None:
        """An anonymous request has its connection no longer."""
        self._anonymous -= 1
        self._anonymous_turns.wake()

    def take_back(self, connection: UpstreamConnection, *, whole: bool) -> None:
        """Keep a connection whose exchange has ended, if its answer and the `whole` request went over it.

        Who picks it looks again.
        """
        response = connection.reader.response
        if not whole or response is None or not response.complete or not response.keep_alive:
            connection.close()
            return
        if connection.anonymous:
            connection.anonymous = False
            self._leave()
        seconds = self._limits.upstream_idle_seconds
        if b"keep-alive" in response.fields.known:
            seconds = min(seconds, KEPT_SHARE * headers.kept_seconds(response.fields))
        connection.rest(seconds)
        self._idle.append(connection)
        if self._turns.waiting:
            self._turns.wake()

    def made(self, connection: UpstreamConnection) -> None:
        self._all.add(connection)

    def lost(self, connection: UpstreamConnection) -> None:
        self._all.discard(connection)
        if connection.anonymous:
            connection.anonymous = False
            self._leave()
        if connection in self._idle:
            self._idle.remove(connection)
        self._turns.wake()

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

    async def _open(self) -> UpstreamConnection:
        self._sweep.start()
        self._opening += 1
        self._wake_next()
        try:
            return await self._connect()
        finally:
            self._opening -= 1
            self._turns.wake()  # until now it was counted twice, or it never came to be

    async def _connect(self) -> UpstreamConnection:
        connection = UpstreamConnection(self, self._limits)
        try:
            await self._reach(connection)
        except BaseException:  # who waited may have left just after it was made, which uvloop tells nobody
            connection.close()
            connection.connection_lost(None)
            raise
        return connection

    async def _reach(self, connection: UpstreamConnection) -> None:
        loop, address, tls = asyncio.get_running_loop(), self.address, self._tls
        factory = cast(Callable[[], asyncio.Protocol], lambda: connection)
        if address.path is not None:
            await loop.create_unix_connection(factory, address.path)
        elif tls is None:
            await loop.create_connection(factory, address.host, address.port)
        else:
            transport, _ = await loop.create_connection(asyncio.Protocol, address.host, address.port)
            await secure(transport, connection, tls, address.host)
