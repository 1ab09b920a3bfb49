"""One request and its answer: decided, sent on, relayed back. Nothing goes upstream undecided."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from functools import partial
from typing import TYPE_CHECKING, Final

from authz_sidecar import answers
from authz_sidecar.answers import TABLE, Answer, Fault
from authz_sidecar.core import headers
from authz_sidecar.core.errors import UpstreamError, UpstreamUnreachable
from authz_sidecar.core.verdicts import Code, Decision, Failure, FaultCode, RequestHead
from authz_sidecar.pipeline import Undecided
from authz_sidecar.proxy import framing
from authz_sidecar.proxy.messages import CHUNKED, CLOSE, IncomingRequest, IncomingResponse
from authz_sidecar.proxy.tunnel import Tunnel
from authz_sidecar.proxy.upstream import UpstreamConnection

if TYPE_CHECKING:
    from authz_sidecar.proxy.downstream import Downstream
    from authz_sidecar.proxy.server import ProxyServer

logger = logging.getLogger("authz.proxy")

IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
"""Methods that a client may send again when the answer was lost (RFC 9110 §9.2.2)."""

INTERNAL_ERROR: Final = Fault(FaultCode.INTERNAL_ERROR)

ANSWER_GRACE_SECONDS: Final = 0.05
"""What an answer that has begun may still take when its permission is gone."""


class Exchange:
    """The life of one request. Its client, its server and the upstream call it; it never blocks."""

    # What most requests never change stays on the class.
    _decision: Decision | None = None
    _connection: UpstreamConnection | None = None
    _task: asyncio.Task[None] | None = None
    _tunnel: Tunnel | None = None
    _upgrade = False
    """Whether it may go on as WebSocket: only where a rule governs the request."""
    _reconnected = False
    _request_sent = False
    _head_sent = False
    _revoked = False
    _chunked = False
    _done = False

    def __init__(self, server: ProxyServer, client: Downstream, request: IncomingRequest) -> None:
        self.request_id = headers.request_id(request.fields) or server.new_request_id()
        self._server = server
        self._client = client
        self.request = request
        self._started = server.clock.monotonic()

    @property
    def takes_body(self) -> bool:
        """Whether more of the request can be sent on now."""
        return self._connection is not None and not self._request_sent

    # the request

    def start(self) -> None:
        request = self.request
        if request.fault is not None:
            self.fail(request.fault)
            return
        head = RequestHead(request.method, request.target, request.fields, self._client.peer)
        try:
            found = self._server.pipeline.decide(head, self.request_id)
        except Exception:
            self._fail_undecided()
            return
        if isinstance(found, Decision):
            self._decided(found)
        else:
            self._spawn(self._decide_later(found))

    async def _decide_later(self, undecided: Undecided) -> None:
        self._decided(await undecided())

    def _decided(self, decision: Decision) -> None:
        self._decision = decision
        self._upgrade = self.request.upgrade and decision.rule is not None
        self._server.observer.decided(decision, self._server.clock.monotonic() - self._started)
        if not decision.forward:
            self._answer(answers.refusal(decision))
            return
        if decision.identity is not None:
            self._server.governed.add(self)
        connection = self._server.pool.checkout(repeatable=self.request.method in IDEMPOTENT)
        if connection is None:
            self._spawn(self._connect(self._head()))
        else:
            self._begin(connection, self._head())

    async def _connect(self, unsent: bytes) -> None:
        try:
            connection = await self._server.pool.acquire(repeatable=self.request.method in IDEMPOTENT)
        except UpstreamError as error:
            self.upstream_failed(error)
        else:
            self._begin(connection, unsent)

    def _head(self) -> bytes:
        """What the upstream is told of the request."""
        request, client = self.request, self._client
        sent_on = headers.forwarded_request(
            request.fields,
            request_id=self.request_id,
            peer=client.peer,
            scheme=client.scheme,
            peer_trusted=client.trusted,
        )
        return framing.request_head(request, sent_on, self._server.pool.authority, upgrade=self._upgrade)

    def _begin(self, connection: UpstreamConnection, unsent: bytes) -> None:
        self._connection = connection
        connection.begin(self, to_head=self.request.method == "HEAD", upgrade=self._upgrade)
        if not self._client.writable:
            connection.set_reading(False)
        if self._request_sent:
            connection.write(unsent)
            connection.await_response()
        else:
            self._send(unsent)
        self._client.update()

    def request_readable(self) -> None:
        """More of the request has arrived, or what arrived is wrong."""
        fault = self.request.fault
        if fault is not None:
            self.fail(fault)
        elif self.takes_body:
            self._send(b"")

    def _send(self, head: bytes) -> None:
        request, connection = self.request, self._connection
        assert connection is not None  # noqa: S101 (callers have one)
        data = request.take_body()
        if request.framing is CHUNKED:
            data = framing.chunk(data)
            if request.complete:
                data += framing.last_chunk(headers.forwarded_trailers(request.trailers))
        connection.write(head + data)
        if request.complete:
            self._request_sent = True
            connection.await_response()

    # the client

    def client_lost(self) -> None:
        """Nobody waits for the answer any more."""
        self._finish(499 if self._tunnel is None else 101)

    def client_writable(self, writable: bool) -> None:
        if self._connection is not None:
            self._connection.set_reading(writable)

    # the upstream

    def upstream_readable(self) -> None:
        connection = self._connection
        assert connection is not None  # noqa: S101 (it is the one that calls)
        reader = connection.reader
        if reader.interims:
            self._relay_interims(connection)
        response = reader.response
        if response is not None and response.status == 101:
            self._open_tunnel(connection, response)
        elif response is not None:
            self._relay(response)
        if reader.broken:
            self.upstream_failed(UpstreamUnreachable("the upstream sent no well-formed answer"))

    def upstream_data(self, data: bytes) -> None:
        """Raw bytes only reach tunnels."""

    def upstream_eof(self) -> None:
        """Raw bytes only reach tunnels."""

    def upstream_writable(self, writable: bool) -> None:
        self._client.set_reading(writable)

    def upstream_failed(self, error: UpstreamError) -> None:
        self.fail(answers.upstream_fault(error))

    def upstream_unused(self, unsent: bytes) -> None:
        """Nothing of the request was handed over, so it may go to another connection: once."""
        self._connection = None
        if self._reconnected:
            self.upstream_failed(UpstreamUnreachable("the upstream closes connections before they are used"))
        else:
            self._reconnected = True
            self._spawn(self._connect(unsent))

    def _relay_interims(self, connection: UpstreamConnection) -> None:
        interims, connection.reader.interims = connection.reader.interims, []
        if self.request.minor == 0:  # HTTP/1.0 does not know them (RFC 9110 §15.2)
            return
        for interim in interims:
            sent_on = headers.forwarded_response(interim.fields)
            self._client.write(framing.response_head(interim.status, interim.reason, sent_on, ()))

    def _relay(self, response: IncomingResponse) -> None:
        """Send on what has arrived."""
        begins = not self._head_sent
        head = self._response_head(response) if begins else b""
        body = response.take_body()
        if self._chunked:
            body = framing.chunk(body)
            if response.complete:
                body += framing.last_chunk(headers.forwarded_trailers(response.trailers))
        self._client.write(head + body)
        if response.complete:
            self._finish(response.status)
        elif self._revoked and begins:
            self._limit_answer()

    def _response_head(self, response: IncomingResponse) -> bytes:
        self._head_sent = True
        client, modern = self._client, self.request.minor == 1
        endless = response.framing in (CHUNKED, CLOSE)
        self._chunked = endless and modern
        if endless and not modern:
            client.keep_alive = False
        hop = self._connection_line()
        if self._chunked:
            hop = (b"Transfer-Encoding: chunked", *hop)
        sent_on = headers.forwarded_response(response.fields)
        return framing.response_head(response.status, response.reason, sent_on, hop)

    def _connection_line(self) -> tuple[bytes, ...]:
        """What the client is told of the connection; it is settled from here on."""
        client, request = self._client, self.request
        client.keep_alive = client.keep_alive and request.keep_alive and request.complete
        if not client.keep_alive:
            return (b"Connection: close",)
        return () if request.minor == 1 else (b"Connection: keep-alive",)

    def _open_tunnel(self, connection: UpstreamConnection, response: IncomingResponse) -> None:
        """Splice both connections; the exchange is over for HTTP but can still be revoked."""
        self._head_sent = True
        sent_on = headers.forwarded_response(response.fields)
        hop = (b"Connection: Upgrade", b"Upgrade: websocket")
        self._client.write(framing.response_head(101, response.reason, sent_on, hop))
        self._connection, self._tunnel = None, Tunnel(self._client, connection)
        self._client.become_tunnel(self._tunnel)

    # the replica

    @property
    def subject(self) -> str | None:
        identity = self._decision.identity if self._decision is not None else None
        return identity.subject if identity is not None else None

    def reconsider(self) -> None:
        """Decide again by what is known now; a permission that is gone ends what goes on by it."""
        if self._decision is None or self._revoked:
            return
        found = self._server.pipeline.reconsider(self._decision)
        if isinstance(found, Decision):
            self._apply(found)
        else:
            self._server.spawn(self._reconsider_later(found))

    async def _reconsider_later(self, undecided: Undecided) -> None:
        self._apply(await undecided())

    def _apply(self, revised: Decision) -> None:
        if self._done or self._revoked or not revised.revoking:
            return
        self._revoked = True
        self._decision = revised
        self._server.observer.decided(revised, 0.0)
        if self._tunnel is None and self._connection is not None and self._request_sent:
            self._limit_answer()
        else:
            self._answer(answers.refusal(revised))

    def _limit_answer(self) -> None:
        """The service has the whole request, so only its own answer is true; but a long one ends soon."""
        if self._head_sent:
            cut = partial(self._finish, TABLE[Code.PERMISSION_DENIED].status, broken=True)
            asyncio.get_running_loop().call_later(ANSWER_GRACE_SECONDS, cut)

    # the end

    def fail(self, fault: Fault) -> None:
        """Answer a request that cannot be one, or cannot be served."""
        if not self._done:
            answer = answers.failure(fault, self.request_id)
            failure = Failure(self.request_id, answer.status, fault.code, self._client.peer)
            self._server.observer.failed(failure)
            self._answer(answer)

    def _answer(self, answer: Answer) -> None:
        """Answer in the upstream's stead; where it has begun to answer, leave the client no doubt."""
        if self._done:
            return
        if self._head_sent:
            self._finish(answer.status, broken=True)
            return
        sent_on = [*answer.headers, *answers.cross_origin(self._server.cors_origins, self.request.fields)]
        head = framing.response_head(
            answer.status, answer.reason.encode("ascii"), sent_on, self._connection_line()
        )
        self._client.write(head if self.request.method == "HEAD" else head + answer.body)
        self._finish(answer.status)

    def _finish(self, status: int, *, broken: bool = False) -> None:
        if self._done:
            return
        self._done = True
        self._server.governed.discard(self)
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()
        connection, self._connection = self._connection, None
        if connection is not None:
            self._return(connection)
        self._server.observer.answered(status, self._server.clock.monotonic() - self._started)
        if self._tunnel is not None:
            self._tunnel.end()
        elif broken:
            self._client.reset()
        else:
            self._client.exchange_done()

    def _return(self, connection: UpstreamConnection) -> None:
        """The connection is clean only if both messages went over it in full."""
        response = connection.reader.response
        if response is not None and response.complete and response.keep_alive and self._request_sent:
            self._server.pool.release(connection)
        else:
            connection.close()

    def _spawn(self, waiting: Coroutine[None, None, None]) -> None:
        self._task = asyncio.get_running_loop().create_task(self._watch(waiting))
        self._client.update()

    async def _watch(self, waiting: Coroutine[None, None, None]) -> None:
        try:
            await waiting
        except Exception:
            self._fail_undecided()

    def _fail_undecided(self) -> None:
        """Whatever goes wrong, the request is not forwarded. To be called where it was caught."""
        logger.exception("request %s failed", self.request_id)
        self.fail(INTERNAL_ERROR)
