"""One connection to the protected service."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Final, Protocol

from authz_sidecar.config.limits import ProxyLimits
from authz_sidecar.core.errors import UpstreamError, UpstreamTimeout, UpstreamUnreachable
from authz_sidecar.proxy.connection import Connection, Outbox
from authz_sidecar.proxy.deadlines import NEVER
from authz_sidecar.proxy.response_reader import ResponseReader

READ_BYTES: Final = 64 * 1024


class UpstreamUser:
    """Who a connection works for: an exchange, and after a 101 a tunnel. What is not for it, it ignores."""

    def upstream_readable(self) -> None:
        """The reader has more: interim responses, a head, a piece of body, the end."""

    def upstream_failed(self, error: UpstreamError) -> None:
        """Nothing more will come."""

    def upstream_unused(self, unsent: bytes) -> None:
        """The connection was over before it was handed the first byte of the request: `unsent`, so far."""

    def upstream_stale(self) -> None:
        """The connection had served before, and was over before the answer began: nobody knows why."""

    def upstream_writable(self, writable: bool) -> None:
        """The upstream takes bytes, or has enough waiting."""

    def upstream_data(self, data: bytes) -> None:
        """Bytes after a 101."""

    def upstream_eof(self) -> None:
        """No more bytes after a 101; the other direction may go on."""


class Pool(Protocol):
    """Where a connection goes between two requests, and what times it."""

    outbox: Outbox

    @property
    def now(self) -> Callable[[], float]: ...

    @property
    def deadline(self) -> Callable[[float], float]: ...

    def made(self, connection: UpstreamConnection) -> None:
        """It is open."""

    def lost(self, connection: UpstreamConnection) -> None:
        """It is closed."""


class UpstreamConnection(Connection):
    """Carries one request at a time for its `user`; between two it waits in the pool."""

    def __init__(self, pool: Pool, limits: ProxyLimits) -> None:
        super().__init__(pool.outbox)
        self.reader = ResponseReader(limits)
        self.deadline = NEVER
        self.idle_since = 0.0
        self.anonymous = False
        """Whether it carries a request of nobody knows whom. The pool's to say."""
        self._idle_until = NEVER
        """It is not used again later than this."""
        self._kept = False
        """Whether it has served before."""
        self._heard = False
        """Whether a byte of the answer has come."""
        self._begun = 0.0
        """When the request was handed over."""
        self.answered_after: float | None = None
        """Seconds from then to that byte."""
        self._pool = pool
        self._limits = limits
        self._user: UpstreamUser | None = None
        self._tunnel = False
        self._request_sent = False

    @property
    def busy(self) -> bool:
        """Whether somebody waits for what comes."""
        return self._user is not None

    def usable(self, now: float) -> bool:
        """Whether another request may be sent."""
        transport, reader = self._transport, self.reader
        if transport is None or reader.awaiting or reader.broken:
            return False
        return self.writable and now < self._idle_until and not transport.is_closing()

    def begin(self, user: UpstreamUser, *, to_head: bool, upgrade: bool) -> None:
        """Work for `user` until `end` or `close`."""
        self._user = user
        self._used = self._request_sent = self._heard = False
        self._begun, self.answered_after = self._pool.now(), None
        self.deadline = NEVER
        self.reader.expect(to_head=to_head, upgrade=upgrade)

    def send(self, data: bytes, *, whole: bool) -> None:
        """Send more of the request. Once the `whole` of it is sent, silence is limited."""
        if whole:
            self._request_sent = True
            self._settle()
        self.write(data)

    def rest(self, seconds: float) -> None:
        """Wait so long for another user. What an early answer left behind must not go out with a request."""
        if self._unsent:
            self.flush()
        self._user = None
        if not self.reading:
            self.set_reading(True)
        self._kept = True
        self.reader.response = None  # nobody asks for it any more, and its head may be large
        self.idle_since = now = self._pool.now()
        self._idle_until = now + seconds
        self.deadline = self._pool.deadline(seconds)

    def become_tunnel(self, user: UpstreamUser) -> bytes:
        """Carry raw bytes from now on; returns those already here."""
        self._user, self._tunnel, self.deadline = user, True, NEVER
        unread, self.reader.unread = self.reader.unread, b""
        return unread

    def set_reading(self, reading: bool) -> None:
        """Pause while the client is slow, and go on."""
        self.read(reading)
        self._settle()

    def _settle(self) -> None:
        """Limit the upstream's silence when it is its turn: to answer, or to take what waits for it."""
        its_turn = self.reading and (self._request_sent or not self.writable)
        if its_turn and not self._tunnel:
            self.deadline = self._pool.deadline(self._limits.response_seconds)
        else:
            self.deadline = NEVER

    def close(self) -> None:
        """Drop the connection and what waits on it; its user hears nothing more.

        Half a body followed by an end is a whole one to servers that do not count (gunicorn): a request
        that was refused in the middle would take effect. A reset cannot be mistaken.
        """
        user, self._user = self._user, None
        self._unsent = []
        if user is not None and not self._tunnel and not self._answered:
            self.reset()
        elif self._transport is not None:
            self._transport.abort()

    @property
    def _answered(self) -> bool:
        response = self.reader.response
        return self._request_sent and response is not None and response.complete

    def expire(self) -> None:
        user = self._user
        self.close()
        if user is not None:
            user.upstream_failed(UpstreamTimeout("the upstream was silent for too long"))

    # asyncio calls these

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.opened(transport, self._limits.high_water_bytes)
        self.deadline = self._pool.deadline(self._limits.connect_seconds)  # until someone uses it
        self._pool.made(self)

    def data_received(self, data: bytes) -> None:
        user = self._user
        if user is None:
            self.close()  # an answer to nothing
        elif not self._used:
            self._give_back(user)
        elif self._tunnel:
            user.upstream_data(data)
        else:
            if not self._heard:
                self._heard = True
                self.answered_after = self._pool.now() - self._begun
            self.reader.feed(data)
            user.upstream_readable()
            if self._user is user:
                self._settle()

    def eof_received(self) -> bool:
        user = self._user
        if user is None:
            return False
        if self._tunnel:
            user.upstream_eof()
            return True
        if not self._ended_early(user):
            self.reader.eof()
            user.upstream_readable()
        return False

    def _ended_early(self, user: UpstreamUser) -> bool:
        """Whether it was over before it had taken the request, or had begun to answer; `user` is told."""
        if not self._used:
            self._give_back(user)
        elif self._kept and not self._heard:
            self.close()
            user.upstream_stale()
        else:
            return False
        return True

    def _give_back(self, user: UpstreamUser) -> None:
        """This connection ended, or spoke unasked, while the request still lay here."""
        unsent, self._unsent = b"".join(self._unsent), []
        self.close()
        user.upstream_unused(unsent)

    def pause_writing(self) -> None:
        self._set_writable(False)

    def resume_writing(self) -> None:
        self._set_writable(True)

    def _set_writable(self, writable: bool) -> None:
        self.writable = writable
        self._settle()
        if self._user is not None:
            self._user.upstream_writable(writable)

    def connection_lost(self, exc: Exception | None) -> None:
        transport, self._transport = self._transport, None
        if self._user is not None and transport is not None:
            self._read_rest(transport)
        user, self._user, self.deadline = self._user, None, NEVER
        self._pool.lost(self)
        if user is not None and not self._ended_early(user):
            user.upstream_failed(UpstreamUnreachable("the upstream closed the connection"))
        self.reader.close()

    def _read_rest(self, transport: asyncio.Transport) -> None:
        """Take what lies in the socket: a service may have answered and left while we still sent.

        A transport gives up at the first byte that it cannot send, but the kernel has kept what had come
        before. Its socket is open until this returns. With TLS that is done below it: `upstream_tls`.
        """
        connection = transport.get_extra_info("socket")
        if connection is None or transport.get_extra_info("sslcontext") is not None:
            return
        while self._user is not None and (data := at_hand(connection.fileno())):
            self.data_received(data)


def at_hand(descriptor: int) -> bytes:
    """Some of what has been received; nothing at the end, or if there is nothing."""
    try:
        return os.read(descriptor, READ_BYTES)
    except OSError:
        return b""
