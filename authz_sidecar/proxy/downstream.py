"""One connection from a client. What it can be in the middle of, and why: `states.py`."""

from __future__ import annotations

import asyncio
from typing import Final

from authz_sidecar import answers
from authz_sidecar.answers import Fault
from authz_sidecar.core.verdicts import Answered, FaultCode
from authz_sidecar.proxy import framing
from authz_sidecar.proxy.budget import FREE_BYTES
from authz_sidecar.proxy.client import Client
from authz_sidecar.proxy.deadlines import NEVER
from authz_sidecar.proxy.exchange import Exchange
from authz_sidecar.proxy.request_reader import RequestReader
from authz_sidecar.proxy.shared import Shared
from authz_sidecar.proxy.states import (
    CLOSED,
    CLOSING,
    HEAD,
    IDLE,
    LINGERING,
    SERVING,
    TUNNEL,
    ClientState,
)
from authz_sidecar.proxy.traced import TracedExchange
from authz_sidecar.proxy.tunnel import Tunnel
from authz_sidecar.proxy.upstream import UpstreamConnection

BUFFERS_FULL: Final = Fault(FaultCode.BUFFERS_FULL)
REQUEST_TIMEOUT: Final = Fault(FaultCode.REQUEST_TIMEOUT)
MOST_A_TURN: Final = 16
"""So many requests of one client are begun in one turn of the event loop; then the others have theirs."""
TOO_MANY_CONNECTIONS: Final = Fault(FaultCode.TOO_MANY_CONNECTIONS)


class Downstream(Client):
    """Reads requests, runs one exchange at a time, and writes answers in the order of the requests."""

    def __init__(self, shared: Shared) -> None:
        super().__init__(shared.pool.outbox)
        self._shared = shared
        self._limits = shared.limits
        self._reader = RequestReader(shared.limits, shared.pipeline.token_places.header)
        self._state: ClientState = HEAD
        self._exchange: Exchange | None = None
        """The one that is under way in SERVING; in TUNNEL it still waits for its end."""
        self._tunnel: Tunnel | None = None
        self._upstream_writable = True
        self._sends_no_more = False
        """Whether the client has closed its side; it may still wait for answers."""
        self._refusing = False
        """Whether it is refused in the next turn, unless it holds less by then."""
        self._held_bytes = 0
        """What the budget of all connections has counted for this one."""
        self._pumping = False
        self._continues = False
        """Whether more of what has been read is handled in the next turn."""

    def _enter(self, state: ClientState) -> None:
        self._state = state

    # asyncio calls these

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        peer = transport.get_extra_info("peername")
        if peer is None:  # gone before it was accepted; who it was is not known any more
            transport.abort()  # type: ignore[attr-defined]  # asyncio's base class lacks what all have
            return
        self.opened(transport, self._limits.high_water_bytes)
        self.peer = peer[0] if isinstance(peer, tuple) else ""
        self.trusted = self._shared.trusts(self.peer)
        if transport.get_extra_info("sslcontext") is not None:
            self.scheme, self._reader.scheme = "https", b"https"
        accepted = self._shared.connected(self)
        self.deadline = self._shared.deadline(self._limits.head_seconds)
        if not accepted:
            self._turn_away()

    def _turn_away(self) -> None:
        """Answer a connection beyond the limit."""
        request_id, shared = self._shared.new_request_id(), self._shared
        answer = answers.failure(TOO_MANY_CONNECTIONS, request_id)
        shared.failed(request_id, answer.status, TOO_MANY_CONNECTIONS.code, self.peer)
        shared.observer.answered(Answered(request_id, answer.status, 0.0, self.peer))
        self.keep_alive = False
        self.write(framing.answer_head(answer, [], (b"Connection: close",)) + answer.body)
        self.close()

    def data_received(self, data: bytes) -> None:
        if self._tunnel is not None:
            self._tunnel.client_data(data)
        elif self._state is not LINGERING:
            self._reader.feed(data)
            self._pump()

    def eof_received(self) -> bool:
        """A client may stop sending and still wait for its answers; half a request is worth none."""
        self._sends_no_more = True
        if self._tunnel is not None:
            self._tunnel.client_eof()
            return self.scheme == "http"
        if self._exchange is not None and not self._exchange.request.complete:
            self._exchange.client_lost()
        elif self._exchange is None and not (self._reader.requests or self._reader.unread):
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
        self._enter(CLOSED)
        self._shared.disconnected(self)
        self._shared.budget.changes(self._held_bytes, 0)
        self._reader.end()
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
            self._enter(IDLE)
            self._pump()
        elif not self._sends_no_more and (self._reader.unread or not exchange.request.complete):
            self._linger()
        else:
            self.close()

    def become_tunnel(self, upstream: UpstreamConnection) -> None:
        self._enter(TUNNEL)
        self.deadline = NEVER
        self._tunnel = tunnel = Tunnel(self, upstream)
        tunnel.start(self._reader.take_unread())
        if not self.writable:
            tunnel.client_writable(False)
        self.update()

    def close(self) -> None:
        """Close after what is written has been sent."""
        self.flush()
        if self._transport is not None and self._state is not CLOSING:
            self._enter(CLOSING)
            self.deadline = self._shared.deadline(self._limits.write_seconds)
            self._transport.close()

    # the server calls these

    @property
    def idle(self) -> bool:
        """Whether no request is under way."""
        return self._state is IDLE or self._state is HEAD

    def drain(self) -> None:
        """End after the request under way; at once without one."""
        self.keep_alive = False
        if self.idle:
            self.close()

    def expire(self) -> None:
        """The deadline has passed: say so where someone may still listen."""
        exchange = self._exchange
        if not self.writable:
            self._abort()
        elif self._state is SERVING and exchange is not None:
            exchange.fail(REQUEST_TIMEOUT)
        elif self.idle and self._reader.overhead:
            self._reader.fail(REQUEST_TIMEOUT)
            self._pump()
        elif self.idle:
            self.close()
        else:
            self._abort()

    def update(self) -> None:
        """Read exactly while what is read can go somewhere, and wait no longer than allowed."""
        transport, exchange = self._transport, self._exchange
        if self._pumping or transport is None or transport.is_closing():
            return
        if not self._within_budget():
            self.read(False)
            self._refuse_growth_soon()
            return
        if self._state is LINGERING:
            self.read(True)
            return
        if exchange is not None and not exchange.request.complete:
            reading = exchange.takes_body and self._upstream_writable
        else:
            # One request ahead at most, and none of its body: whoever only sends must not fill memory.
            reading = self._upstream_writable and not self._reader.unread and not self._reader.requests
        if reading is not self.reading:
            self.read(reading)
        self._set_deadline(exchange)

    def _within_budget(self) -> bool:
        """Whether what this connection holds now is granted."""
        reader, exchange = self._reader, self._exchange
        held = len(reader.unread) + reader.overhead + len(reader.line)
        if reader.requests:
            held += sum([request.held_bytes + request.body_bytes for request in reader.requests])
        if exchange is not None:
            held += exchange.request.held_bytes + exchange.request.body_bytes
        if not self._upstream_writable:
            held += self._upstream_backlog()
        if not self.writable:
            held += self.backlog_bytes
        before, self._held_bytes = self._held_bytes, held if held > FREE_BYTES else 0
        if self._held_bytes == before or self._shared.budget.changes(before, self._held_bytes):
            return True
        self._held_bytes = before
        return False

    def _upstream_backlog(self) -> int:
        """What waits for the service to read."""
        if self._tunnel is not None:
            return self._tunnel.backlog_bytes
        return 0 if self._exchange is None else self._exchange.backlog_bytes

    def _refuse_growth_soon(self) -> None:
        """Not now: whoever has just written to us is in the middle of something."""
        if not self._refusing:
            self._refusing = True
            asyncio.get_running_loop().call_soon(self._refuse_growth)

    def _refuse_growth(self) -> None:
        """There is no memory for what the client sends, or does not read: say so where it can be said."""
        self._refusing = False
        if self._transport is None or self._within_budget():
            self.update()
            return
        self._reader.end()
        if self._state is SERVING and self._exchange is not None:
            self.keep_alive = False
            self._exchange.fail(BUFFERS_FULL)
        elif self.idle and self.writable:
            self._reader.fail(BUFFERS_FULL)
            self._pump()
        else:
            self._shared.failed(self._shared.new_request_id(), 0, BUFFERS_FULL.code, self.peer)
            self._abort()

    def _set_deadline(self, exchange: Exchange | None) -> None:
        """Silence is limited where it is the client's turn: to send what it began, or to read."""
        limits, deadline = self._limits, self._shared.deadline
        if not self.writable:
            self.deadline = deadline(limits.write_seconds)
        elif self._state is TUNNEL:
            self.deadline = NEVER
        elif exchange is not None:
            waits = self.reading and not exchange.request.complete
            self.deadline = deadline(limits.body_seconds) if waits else NEVER
        elif not self._reader.overhead:
            self.deadline = deadline(limits.idle_seconds)
        elif self._state is not HEAD:  # all of a head is to be here in time, however often some of it comes
            self._enter(HEAD)
            self.deadline = deadline(limits.head_seconds)

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
            begun = 0
            while self._exchange is None and begun < MOST_A_TURN and self._next():
                begun += 1
        finally:
            self._pumping = False
        if begun == MOST_A_TURN and self._exchange is None and not self._continues:
            self._continues = True
            asyncio.get_running_loop().call_soon(self._continue)
        self.update()

    def _continue(self) -> None:
        self._continues = False
        self._pump()

    def _next(self) -> bool:
        """Start the next request, if there is one and its answer can be written."""
        reader = self._reader
        if self._transport is None or not self.keep_alive or not self.writable:
            return False
        if reader.unread and not (reader.requests and reader.requests[0].complete):
            reader.resume()
        if not reader.requests:
            if self._sends_no_more:
                self.close()
            return False
        request = reader.requests.popleft()
        if self._sends_no_more and not request.complete:
            self.close()
            return False
        self._enter(SERVING)
        if self._shared.tracer is None:
            self._exchange = Exchange(self._shared, self, request)
        else:
            self._exchange = TracedExchange(self._shared, self, request)
        self._exchange.start()
        return True

    def _linger(self) -> None:
        """Close in order although the client still sends: it could not read the answer after a reset."""
        self._enter(LINGERING)
        self.deadline = self._shared.deadline(self._limits.linger_seconds)
        self.update()
        self.write_eof()

    def _abort(self) -> None:
        """End at once. An answer without a length looks whole wherever it ends, unless that is a reset."""
        self.flush()
        if self._transport is not None and self._transport.get_write_buffer_size():
            self.reset()
        elif self._transport is not None:
            self._transport.abort()
