"""The decisions port: who is served, within which bounds, and what becomes of mistakes.

It speaks through aiohttp: a gateway asks over few kept connections, and nothing is passed on, so nothing of
the byte path's care for other people's bytes is needed. No mistake of ours or of anybody lets a request pass.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from authz_sidecar import answers
from authz_sidecar.answers import Answer, Fault
from authz_sidecar.config.limits import ProxyLimits
from authz_sidecar.core import headers
from authz_sidecar.core.fields import of_request
from authz_sidecar.core.ports import Clock, RequestObserver
from authz_sidecar.core.verdicts import Answered, Failure, FaultCode
from authz_sidecar.decisions import forwarded
from authz_sidecar.decisions.authzen import AuthZen
from authz_sidecar.decisions.check import Check
from authz_sidecar.decisions.forwarded import Asking, Unanswerable

logger = logging.getLogger("authz.decisions")

Page = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class DecisionsPort:
    """Answers each request. `pages` are those that tell nothing of requests: health."""

    def __init__(
        self,
        check: Check,
        authzen: AuthZen,
        pages: Mapping[str, Page],
        observer: RequestObserver,
        clock: Clock,
        limits: ProxyLimits,
    ) -> None:
        self._check = check
        self._authzen = authzen
        self._pages = pages
        self._observer = observer
        self._clock = clock
        self._limits = limits

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        page = self._pages.get(request.path)
        return await self._decided(request) if page is None else await page(request)

    async def _decided(self, request: web.BaseRequest) -> web.StreamResponse:
        started, peer = self._clock.monotonic(), request.remote or ""
        request_id = headers.request_id(of_request([*request.raw_headers])) or secrets.token_hex(12)
        try:
            answer, told = await self._answer(request, request_id, peer)
        except Unanswerable as error:
            answer, told = self._failed(error.fault, request_id, peer), True
        except Exception:
            logger.exception("request %s failed", request_id)
            answer, told = self._failed(Fault(FaultCode.INTERNAL_ERROR), request_id, peer), True
        seconds = self._clock.monotonic() - started
        self._observer.answered(Answered(request_id, answer.status, seconds, peer, told))
        return response(answers.addressed(answer, of_request([*request.raw_headers]), frozenset()))

    async def _answer(self, request: web.BaseRequest, request_id: str, peer: str) -> tuple[Answer, bool]:
        received = request.raw_headers
        if sum(len(name) + len(value) + 4 for name, value in received) > self._limits.head_bytes:
            raise Unanswerable("", FaultCode.HEAD_TOO_LARGE)
        target = request.raw_path.encode("utf-8", "surrogateescape")
        if self._authzen.serves(request.path):
            return await self._authzen.answer(request, request_id), True
        if not forwarded.is_check(target):
            raise Unanswerable("", FaultCode.NOT_SERVED_HERE)
        return await self._check.answer(Asking(request.method, target, received, peer), request_id)

    def _failed(self, fault: Fault, request_id: str, peer: str) -> Answer:
        answer = answers.failure(fault, request_id)
        self._observer.failed(Failure(request_id, answer.status, fault.code, peer, fault.detail))
        return answer


def response(answer: Answer) -> web.Response:
    """An answer as aiohttp sends it."""
    sent = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in answer.headers]
    return web.Response(status=answer.status, reason=answer.reason, headers=sent, body=answer.body)


class BoundedServer(web.Server):
    """aiohttp's server with an end to its connections: one too many is told so and closed."""

    def __init__(self, port: DecisionsPort, observer: RequestObserver, limits: ProxyLimits) -> None:
        super().__init__(
            self._handle,
            keepalive_timeout=limits.idle_seconds,
            access_log=None,
            auto_decompress=False,  # a question is JSON as it stands
            max_line_size=limits.head_bytes,
            max_field_size=limits.head_bytes,
            max_headers=limits.head_fields,
        )
        self.leaving = False
        """Whether every connection ends with its next answer."""
        self.open_connections = 0
        self._port = port
        self._observer = observer
        self._most = limits.connections

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        answer = await self._port.handle(request)
        if self.leaving:
            answer.force_close()
        return answer

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        self.open_connections += 1
        if self.open_connections > self._most:
            self._turn_away(transport)

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        self.open_connections -= 1

    def _turn_away(self, transport: asyncio.Transport) -> None:
        request_id, (peer, *_) = secrets.token_hex(12), transport.get_extra_info("peername") or ("",)
        answer = answers.failure(Fault(FaultCode.TOO_MANY_CONNECTIONS), request_id)
        self._observer.failed(Failure(request_id, answer.status, FaultCode.TOO_MANY_CONNECTIONS, peer))
        lines = [b"HTTP/1.1 %d %b" % (answer.status, answer.reason.encode()), b"Connection: close"]
        lines += [b"%b: %b" % header for header in answer.headers]
        transport.write(b"\r\n".join([*lines, b"", answer.body]))
        transport.close()
