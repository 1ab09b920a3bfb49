"""One connection from a client."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from authz_sidecar.answers import Fault
from authz_sidecar.core.verdicts import FaultCode
from authz_sidecar.proxy.connection import Connection
from authz_sidecar.proxy.deadlines import NEVER
from authz_sidecar.proxy.exchange import Exchange
from authz_sidecar.proxy.request_reader import RequestReader
from authz_sidecar.proxy.tunnel import Tunnel

if TYPE_CHECKING:
    from authz_sidecar.proxy.server import ProxyServer

REQUEST_TIMEOUT: Final = Fault(FaultCode.REQUEST_TIMEOUT)


class Downstream(Connection):
    """Reads requests, runs one exchange at a time, and writes answers in the order of the requests."""

    def __init__(self, server: ProxyServer) -> None:
        super().__init__(server.outbox)
        self.peer = ""
        self.scheme = "http"
        self.trusted = False
        self.keep_alive = True
        self.deadline = NEVER
        self._server = server
        self._limits = server.limits
        self._reader = RequestReader(server.limits)
        self._exchange: Exchange | None = None
        self._tunnel: Tunnel | None = None
        self._in_head = True
        self._upstream_writable = True
        self._pumping = False
        self._lingering = False
        self._eof = False

    # asyncio calls these

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.opened(transport, self._limits.high_water_bytes)
        peer = transport.get_extra_info("peername")
        self.peer = peer[0] if isinstance(peer, tuple) else ""
        self.trusted = self._server.trusts(self.peer)
        if transport.get_extra_info("sslcontext") is not None:
            self.scheme = "https"
        accepted = self._server.connected(self)
        self.deadline = self._server.deadline(self._limits.head_seconds)
        if not accepted:
            self.keep_alive = False
            self.write(self._server.overload(self.peer))
            self.close()

    def data_received(self, data: bytes) -> None:
        if self._tunnel is not None:
            self._tunnel.client_data(data)
        elif not self._lingering:  # then what still comes is discarded
            self._reader.feed(data)
            self._pump()

    def eof_received(self) -> bool:
        """A client may stop sending and still wait for its answers; half a request is worth none."""
        self._eof = True
        if self._tunnel is not None:
            self._tunnel.client_eof()
            return self.scheme == "http"
        if self._exchange is not None and not self._exchange.request.complete:
            self._abort()
        elif self._exchange is None and not self._reader.requests:
            self.close()
        return self.scheme == "http"  # TLS has no half-closed connections

    def pause_writing(self) -> None:
        self._set_writable(False)

    def resume_writing(self) -> None:
        self._set_writable(True)
        if self._tunnel is None:
            self._pump()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport, self.deadline = None, NEVER
        self._server.disconnected(self)
        exchange, self._exchange = self._exchange, None
        if self._tunnel is not None:
            self._tunnel.client_lost()
        if exchange is not None:
            exchange.client_lost()

    # the exchange and the tunnel call these

    def set_reading(self, reading: bool) -> None:
        """Pause while the upstream is slow, and go on."""
        self._upstream_writable = reading
        self.update()

    def exchange_done(self) -> None:
        """The answer is written: go on with the next request, or close."""
        exchange, self._exchange = self._exchange, None
        self._upstream_writable = True
        if self._transport is None or exchange is None:
            return
        if self.keep_alive:
            self._pump()
        elif not exchange.request.complete or self._reader.unread:
            self._linger()
        else:
            self.close()

    def become_tunnel(self, tunnel: Tunnel) -> None:
        self._tunnel = tunnel
        self.deadline = NEVER
        tunnel.start(self._reader.take_unread())
        if not self.writable:
            tunnel.client_writable(False)
        self.update()

    def close(self) -> None:
        """Close after what is written has been sent."""
        self.flush()
        if self._transport is not None:
            self.deadline = self._server.deadline(self._limits.write_seconds)
            self._transport.close()

    # the server calls these

    @property
    def idle(self) -> bool:
        """Whether no request is under way."""
        return self._exchange is None and self._tunnel is None

    def drain(self) -> None:
        """End after the request under way; at once without one."""
        self.keep_alive = False
        if self.idle and not self._lingering:
            self.close()

    def expire(self) -> None:
        """The deadline has passed: say so where someone may still listen."""
        exchange, transport = self._exchange, self._transport
        closing = transport is not None and transport.is_closing()
        if closing or self._lingering or not self.writable or self._tunnel is not None:
            self._abort()
        elif exchange is not None:
            exchange.fail(REQUEST_TIMEOUT)
        elif self._reader.partial:
            self._reader.fail(REQUEST_TIMEOUT)
            self._pump()
        else:
            self.close()

    def update(self) -> None:
        """Read exactly while what is read can go somewhere, and wait no longer than allowed."""
        transport, exchange = self._transport, self._exchange
        if self._pumping or transport is None or transport.is_closing():
            return
        if self._lingering:
            reading = True
        elif exchange is not None and not exchange.request.complete:
            reading = exchange.takes_body and self._upstream_writable
        else:
            # One request ahead at most, and none of its body: whoever only sends must not fill memory.
            reading = self._upstream_writable and not self._reader.unread and not self._reader.requests
        if reading is not self.reading:
            self.read(reading)
        if not self._lingering:
            self._set_deadline(exchange)

    def _set_deadline(self, exchange: Exchange | None) -> None:
        """Silence is limited where it is the client's turn: to send what it began, or to read."""
        limits = self._limits
        if not self.writable:
            self.deadline = self._server.deadline(limits.write_seconds)
        elif self._tunnel is not None:
            self.deadline = NEVER
        elif exchange is not None:
            waits = self.reading and not exchange.request.complete
            self.deadline = self._server.deadline(limits.body_seconds) if waits else NEVER
        elif not self._reader.partial:
            self._in_head = False
            self.deadline = self._server.deadline(limits.idle_seconds)
        elif not self._in_head:
            self._in_head = True
            self.deadline = self._server.deadline(limits.head_seconds)

    def _set_writable(self, writable: bool) -> None:
        self.writable = writable
        if self._tunnel is not None:
            self._tunnel.client_writable(writable)
        elif self._exchange is not None:
            self._exchange.client_writable(writable)
        self.update()

    def _pump(self) -> None:
        """Handle what has been read, one request after the other; never re-entered."""
        if self._pumping:
            return
        self._pumping = True
        try:
            if self._exchange is not None:
                self._exchange.request_readable()
            while self._exchange is None and self._next():
                pass
        finally:
            self._pumping = False
        self.update()

    def _next(self) -> bool:
        """Start the next request, if there is one and its answer can be written."""
        reader = self._reader
        if self._transport is None or not self.keep_alive or not self.writable:
            return False
        if not reader.requests and reader.unread:
            reader.resume()
        if not reader.requests:
            if self._eof:
                self.close()
            return False
        request = reader.requests.popleft()
        if self._eof and not request.complete:
            self._abort()
            return False
        self._exchange = Exchange(self._server, self, request)
        self._exchange.start()
        return True

    def _linger(self) -> None:
        """Close in order although the client still sends: it could not read the answer after a reset."""
        self._lingering = True
        self.deadline = self._server.deadline(self._limits.linger_seconds)
        self.update()
        if self.scheme == "https":
            self.close()
        else:
            self.write_eof()

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()
