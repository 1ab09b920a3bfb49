"""One request and its answer: decided, sent on, relayed back. Nothing goes upstream undecided.

What it can be in the middle of, and why: `states.py`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from functools import partial

from authz_sidecar import answers
from authz_sidecar.answers import Answer, Fault
from authz_sidecar.core import headers
from authz_sidecar.core.errors import UpstreamError, UpstreamUnreachable
from authz_sidecar.core.verdicts import Answered, Decision, RequestHead
from authz_sidecar.pipeline import Undecided
from authz_sidecar.proxy import framing, rewriting
from authz_sidecar.proxy.client import Client
from authz_sidecar.proxy.deadlines import ANSWER_GRACE_SECONDS
from authz_sidecar.proxy.messages import CHUNKED, CLOSE, IncomingRequest, IncomingResponse
from authz_sidecar.proxy.shared import Shared
from authz_sidecar.proxy.states import (
    AWAITING,
    CONNECTING,
    CROSSING,
    DECIDING,
    OVER,
    RELAYING,
    SENDING,
    SWITCHED,
    ExchangeState,
)
from authz_sidecar.proxy.upstream import UpstreamConnection, UpstreamUser

logger = logging.getLogger("authz.proxy")


class Exchange(UpstreamUser):
    """The life of one request. Its client, its server and the upstream call it; it never blocks."""

    # What most requests never change stays on the class.
    _state: ExchangeState = DECIDING
    decision: Decision | None = None
    _connection: UpstreamConnection | None = None
    _task: asyncio.Task[None] | None = None
    _ending: asyncio.TimerHandle | None = None
    _reconnected = False
    _retried = False
    """Whether it has been sent before, to no avail."""
    _told = True
    """Whether the log has a line of this request."""
    trace_id = ""

    def __init__(self, shared: Shared, client: Client, request: IncomingRequest) -> None:
        self.request_id = headers.request_id(request.fields) or shared.new_request_id()
        self._shared = shared
        self._client = client
        self.request = request
        self._started = shared.clock.monotonic()

    @property
    def takes_body(self) -> bool:
        """Whether more of the request can be sent on now."""
        return self._state is SENDING or self._state is CROSSING

    @property
    def backlog_bytes(self) -> int:
        """What of the request waits for the service to read, if it is much."""
        return 0 if self._connection is None else self._connection.backlog_bytes

    def _enter(self, state: ExchangeState) -> None:
        self._state = state

    # decide

    def start(self) -> None:
        request = self.request
        if request.fault is not None:
            self.fail(request.fault)
            return
        self._decide(self._started)

    def _decide(self, since: float) -> None:
        try:
            found = self._shared.pipeline.decide(self.head, self.request_id)
        except Exception:
            self._fail_undecided()
            return
        if isinstance(found, Decision):
            self._decided(found, since)
        else:
            self._spawn(partial(self._decide_later, found, since))

    @property
    def head(self) -> RequestHead:
        """What is decided on."""
        asked, client = self.request, self._client
        if self._shared.token_places is not None:
            return rewriting.decided_on(client, asked)
        return RequestHead(asked.method, asked.target, asked.fields, client.peer, asked.upgrade)

    async def _decide_later(self, undecided: Undecided, since: float) -> None:
        self._decided(await undecided(), since)

    def _decided(self, decision: Decision, since: float) -> None:
        shared, self.decision = self._shared, decision
        told = shared.observer.decided(decision, shared.clock.monotonic() - since)
        self._told = told or self._retried
        if decision.status:
            self._answer(answers.refusal(decision))
            return
        shared.revocable.add(self)
        request, pool = self.request, shared.pool
        connection = None if self._retried else pool.checkout(request.method, anonymous=self._anonymous)
        unsent, whole = rewriting.request_beginning(shared, self._client, request, decision), request.complete
        if connection is None:
            self._connect(unsent, whole=whole)
        else:
            self._begin(connection, unsent, whole=whole)

    # send

    @property
    def _anonymous(self) -> bool:
        """Whether nobody knows whose request it is."""
        return self.decision is None or self.decision.identity is None

    def _connect(self, unsent: bytes, *, whole: bool) -> None:
        """Wait for a connection. `unsent` goes over it first, and is the `whole` request or its beginning."""
        self._enter(CONNECTING)
        self._spawn(partial(self._connect_later, unsent, whole))

    async def _connect_later(self, unsent: bytes, whole: bool) -> None:
        try:
            connection = await self._shared.pool.acquire(
                self.request.method, new=self._retried, anonymous=self._anonymous
            )
        except UpstreamError as error:
            self.upstream_failed(error)
        else:
            self._begin(connection, unsent, whole=whole)

    def _begin(self, connection: UpstreamConnection, unsent: bytes, *, whole: bool) -> None:
        request, self._connection = self.request, connection
        if not whole:  # more may have arrived meanwhile
            unsent += framing.arrived(request, chunked=request.framing is CHUNKED)
            whole = request.complete
        self._enter(AWAITING if whole else SENDING)
        connection.begin(self, to_head=request.method == "HEAD", upgrade=request.upgrade)
        if not self._client.writable:
            connection.set_reading(False)
        connection.send(unsent, whole=whole)
        self._client.update()

    def request_readable(self) -> None:
        """More of the request has arrived, or what arrived is wrong."""
        request, connection = self.request, self._connection
        if request.fault is not None:
            self.fail(request.fault)
        elif connection is not None and self.takes_body:
            data = framing.arrived(request, chunked=request.framing is CHUNKED)
            if request.complete:
                self._enter(AWAITING if self._state is SENDING else RELAYING)
            connection.send(data, whole=request.complete)

    def upstream_unused(self, unsent: bytes) -> None:
        """Nothing of the request was handed over, so it may go to another connection: once."""
        self._connection = None
        if self._reconnected:
            self.upstream_failed(UpstreamUnreachable("the upstream closes connections before they are used"))
        else:
            self._reconnected = True
            self._connect(unsent, whole=self._state is AWAITING)

    def upstream_stale(self) -> None:
        """The service may have acted on the request: it is sent again only if that does no harm."""
        shared, self._connection = self._shared, None
        if self._retried or not framing.repeatable(self.request, shared.limits.retry_methods):
            self.upstream_failed(UpstreamUnreachable("the upstream closed the connection"))
            return
        self._retried = True
        shared.observer.retried(self.request_id)
        self._enter(DECIDING)
        self._decide(shared.clock.monotonic())

    def upstream_writable(self, writable: bool) -> None:
        self._client.set_reading(writable)

    # relay

    def upstream_readable(self) -> None:
        connection = self._connection
        assert connection is not None  # noqa: S101 (it is the one that calls)
        reader = connection.reader
        if reader.interims:
            interims, reader.interims = reader.interims, []
            if self.request.minor == 1:  # HTTP/1.0 does not know them (RFC 9110 §15.2)
                self._client.write(b"".join(map(framing.interim_response, interims)))
        response = reader.response
        if response is not None and self.request.upgrade:
            self._answer_upgrade(connection, response)
        elif response is not None:
            self._relay(response)
        if reader.broken:
            self.upstream_failed(UpstreamUnreachable("the upstream sent no well-formed answer"))

    def _relay(self, response: IncomingResponse) -> None:
        """Send on what has arrived."""
        begins = self._state is SENDING or self._state is AWAITING
        chunked = self.request.minor == 1 and (response.framing is CHUNKED or response.framing is CLOSE)
        head = self._response_head(response, chunked=chunked) if begins else b""
        self._client.write(head + framing.arrived(response, chunked=chunked))
        if response.complete:
            self._finish(response.status)
        elif begins and self.decision is not None and self.decision.revoking:
            self._limit_answer(self.decision)
        elif begins and framing.streams_events(response):
            self._ending = self._shared.end_with_token(self)

    def _response_head(self, response: IncomingResponse, *, chunked: bool) -> bytes:
        self._enter(CROSSING if self._state is SENDING else RELAYING)
        if not chunked and (response.framing is CHUNKED or response.framing is CLOSE):
            self._client.keep_alive = False
        hop = self._connection_line()
        if chunked:
            hop = (b"Transfer-Encoding: chunked", *hop)
        sent_on = headers.forwarded_response(response.fields, self._shared.request_id_header, self.request_id)
        return framing.response_head(response.status, response.reason, sent_on, hop)

    def _connection_line(self) -> tuple[bytes, ...]:
        """What the client is told of the connection; it is settled from here on."""
        client, request = self._client, self.request
        kept = client.keep_alive and request.keep_alive and request.complete and not self._shared.leaving
        client.keep_alive = kept
        if not kept:
            return (b"Connection: close",)
        return () if request.minor == 1 else (b"Connection: keep-alive",)

    def _answer_upgrade(self, connection: UpstreamConnection, response: IncomingResponse) -> None:
        places = self._shared.token_places
        if places is not None and places.is_echoed(response.fields):
            self.fail(answers.SUBPROTOCOL_ECHOED)
        elif response.status == 101:
            self._open_tunnel(connection, response)
        else:
            self._relay(response)

    def _open_tunnel(self, connection: UpstreamConnection, response: IncomingResponse) -> None:
        """Splice both connections; the exchange is over for HTTP but can still be revoked."""
        self._enter(SWITCHED)
        self._client.write(framing.switching_head(response))
        self._client.become_tunnel(connection)
        self._ending = self._shared.end_with_token(self)

    def client_writable(self, writable: bool) -> None:
        if self._connection is not None:
            self._connection.set_reading(writable)

    # revoke

    def revise(self, revised: Decision) -> None:
        """It was decided again by what is known and in force now; what is no longer let through ends."""
        decision = self.decision
        if self._state is OVER or revised is decision or decision is None or decision.revoking:
            return
        self.decision = revised
        if not revised.revoking:
            return
        self._told = self._shared.observer.decided(revised, 0.0)
        if self._state is RELAYING:
            self._limit_answer(revised)
        elif self._state is not AWAITING:  # there the answer is limited when it begins
            self._answer(answers.refusal(revised))

    def _limit_answer(self, revised: Decision) -> None:
        """The service has the whole request, so only its own answer is true; but a long one ends soon."""
        cut = partial(self._finish, revised.status, broken=True)
        asyncio.get_running_loop().call_later(ANSWER_GRACE_SECONDS, cut)

    # end

    def client_lost(self) -> None:
        """Nobody waits for the answer any more, or nobody sends the rest of the request."""
        self._finish(101 if self._state is SWITCHED else 499, broken=self._state is CROSSING)

    def upstream_failed(self, error: UpstreamError) -> None:
        self.fail(answers.upstream_fault(error), f"{self._shared.pool.address}: {error}")

    def fail(self, fault: Fault, cause: str = "") -> None:
        """Answer a request that cannot be one, or cannot be served. `cause`: what only the log says."""
        if self._state is not OVER:
            answer = answers.failure(fault, self.request_id)
            detail = cause or fault.detail
            self._shared.failed(self.request_id, answer.status, fault.code, self._client.peer, detail)
            self._told = True
            self._answer(answer)

    def _answer(self, answer: Answer) -> None:
        """Answer in the upstream's stead; where it has begun to answer, leave the client no doubt."""
        state = self._state
        if state is OVER:
            return
        if state is CROSSING or state is RELAYING or state is SWITCHED:
            self._finish(answer.status, broken=True)
            return
        hop, readers = self._connection_line(), self._shared.cors_origins
        self._client.write(rewriting.own_answer(answer, self.request, readers, hop))
        self._finish(answer.status)

    def _finish(self, status: int, *, broken: bool = False) -> None:
        state, shared = self._state, self._shared
        if state is OVER:
            return
        self._enter(OVER)
        shared.revocable.discard(self)
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()
        if self._ending is not None:
            self._ending.cancel()
        connection, self._connection = self._connection, None
        if connection is not None:
            shared.pool.take_back(connection, whole=state is RELAYING)
        seconds = shared.clock.monotonic() - self._started
        upstream = None if connection is None else connection.answered_after
        peer, told = self._client.peer, self._told
        shared.observer.answered(
            Answered(self.request_id, status, seconds, peer, told, upstream, self.trace_id)
        )
        if broken or state is SWITCHED:
            self._client.reset()
        else:
            self._client.exchange_done()

    def _spawn(self, waiting: Callable[[], Coroutine[None, None, None]]) -> None:
        self._task = asyncio.get_running_loop().create_task(self._watch(waiting))
        self._client.update()

    async def _watch(self, waiting: Callable[[], Coroutine[None, None, None]]) -> None:
        try:
            await waiting()  # made here: whose client leaves at once is never begun
        except Exception:
            self._fail_undecided()

    def _fail_undecided(self) -> None:
        """Whatever goes wrong, the request is not forwarded. To be called where it was caught."""
        logger.exception("request %s failed", self.request_id)
        self.fail(answers.INTERNAL_ERROR)
