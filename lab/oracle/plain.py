"""The byte path on plain aiohttp: slow and simple, what the engine is compared with."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from typing import TypedDict

from aiohttp import (
    ClientError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    ConnectionTimeoutError,
    DummyCookieJar,
    TCPConnector,
    web,
)
from multidict import CIMultiDict
from yarl import URL

from authz_sidecar import answers
from authz_sidecar.config.limits import ProxyLimits
from authz_sidecar.core import fields, headers
from authz_sidecar.core.errors import UpstreamError, UpstreamTimeout, UpstreamUnreachable
from authz_sidecar.core.ports import Clock, RequestObserver
from authz_sidecar.core.verdicts import Answered, Decision, RequestHead
from authz_sidecar.pipeline import Pipeline

TIMEOUT = ClientTimeout(total=None, sock_connect=5.0, sock_read=60.0)
CHUNK_BYTES = 64 * 1024
_LIMITS = ProxyLimits()


class HeadLimits(TypedDict):
    """As aiohttp's server and its client call them."""

    max_line_size: int
    max_field_size: int
    max_headers: int


HEAD_LIMITS: HeadLimits = {
    "max_line_size": _LIMITS.head_bytes,
    "max_field_size": _LIMITS.head_bytes,
    "max_headers": _LIMITS.head_fields,
}
"""Heads as large as the engine takes, in both directions."""
AUTO_HEADERS = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
"""What the client would add by itself; the upstream gets only what the caller sent."""


def client_session() -> ClientSession:
    """What speaks to the upstream, and adds nothing of its own."""
    return ClientSession(
        timeout=TIMEOUT,
        connector=TCPConnector(limit=0),
        cookie_jar=DummyCookieJar(),
        auto_decompress=False,
        **HEAD_LIMITS,
    )


@dataclass(frozen=True, slots=True)
class Upstream:
    """The protected service, and whose forwarding headers are believed on the way to it."""

    url: str
    session: ClientSession
    trusts: Callable[[str], bool]


class Proxy:
    """Decides each request, then forwards it or answers it."""

    def __init__(
        self, pipeline: Pipeline, upstream: Upstream, observer: RequestObserver, clock: Clock
    ) -> None:
        self._pipeline = pipeline
        self._upstream = upstream
        self._observer = observer
        self._clock = clock

    def server(self) -> web.Server:
        """What aiohttp's runner serves. A client that leaves cancels its handler."""
        return web.Server(
            self.handle, handler_cancellation=True, auto_decompress=False, access_log=None, **HEAD_LIMITS
        )

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        started = self._clock.monotonic()
        head = _head(request)
        request_id = headers.request_id(head.fields) or uuid.uuid4().hex
        found = self._pipeline.decide(head, request_id)
        decision = found if isinstance(found, Decision) else await found()
        told = self._observer.decided(decision, self._clock.monotonic() - started)
        response = await self._answer(request, head, decision)
        seconds = self._clock.monotonic() - started
        self._observer.answered(Answered(request_id, response.status, seconds, head.peer, told))
        return response

    async def _answer(
        self, request: web.BaseRequest, head: RequestHead, decision: Decision
    ) -> web.StreamResponse:
        if not decision.forward:
            return _response(answers.refusal(decision))
        try:
            upstream = await self._send(request, head, decision.request_id)
        except UpstreamError as error:
            return _response(answers.failure(answers.upstream_fault(error), decision.request_id))
        async with upstream:
            return await _relay(request, upstream)

    async def _send(self, request: web.BaseRequest, head: RequestHead, request_id: str) -> ClientResponse:
        """Send the request on. Raises `UpstreamError` where no response head came back."""
        sent_on = headers.forwarded_request(
            head.fields,
            request_id=request_id,
            peer=head.peer,
            scheme=request.scheme,
            peer_trusted=self._upstream.trusts(head.peer),
        )
        try:
            return await self._upstream.session.request(
                head.method,
                URL(self._upstream.url + head.target.decode("ascii"), encoded=True),
                headers=_fields(sent_on),
                skip_auto_headers=AUTO_HEADERS,
                data=_body(request) if request.body_exists else None,
                allow_redirects=False,
            )
        except (ConnectionTimeoutError, TimeoutError) as error:
            raise UpstreamTimeout from error
        except (ClientError, OSError) as error:
            raise UpstreamUnreachable from error


def _head(request: web.BaseRequest) -> RequestHead:
    return RequestHead(
        method=request.method,
        target=request.raw_path.encode("utf-8", "surrogateescape"),
        fields=fields.of_request(list(request.raw_headers)),
        peer=request.remote or "",
    )


async def _body(request: web.BaseRequest) -> AsyncIterator[bytes]:
    """The request's body as it comes. Only now is a waiting client told to send it (RFC 9110 §10.1.1)."""
    if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    async for chunk in request.content.iter_chunked(CHUNK_BYTES):
        yield chunk


async def _relay(request: web.BaseRequest, upstream: ClientResponse) -> web.StreamResponse:
    response = web.StreamResponse(
        status=upstream.status,
        reason=upstream.reason,
        headers=_fields(headers.forwarded_response(fields.of_response(list(upstream.raw_headers)))),
    )
    await response.prepare(request)
    async for chunk in upstream.content.iter_chunked(CHUNK_BYTES):
        await response.write(chunk)
    await response.write_eof()
    return response


def _response(answer: answers.Answer) -> web.Response:
    return web.Response(
        status=answer.status, reason=answer.reason, headers=_fields(answer.headers), body=answer.body
    )


def _fields(sent_on: Iterable[tuple[bytes, bytes]]) -> CIMultiDict[str]:
    return CIMultiDict(
        (name.decode("ascii"), value.decode("utf-8", "surrogateescape")) for name, value in sent_on
    )
