"""The User service's HTTP as the sidecar's client sees it: the part of `aiohttp.ClientSession` that it uses.

Answers are bytes; the sidecar's own parsers read them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import aiohttp
from yarl import URL

from lab.simulation.links import IN, OUT, Connection, Link
from lab.simulation.scheduler import ProcessLoop


@dataclass(slots=True)
class Answer:
    """What a service sends. `pace`: seconds between chunks; `cut`: it breaks before the last."""

    status: int
    body: list[bytes]
    headers: Mapping[str, str] = field(default_factory=dict)
    pace: float = 0.0
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """What a service is asked."""

    method: str
    path: str
    query: Mapping[str, str]
    json: Any = None


class Service(Protocol):
    """Answers when it can: calls `reply` once, at once or later; never while it is frozen."""

    def handle(self, request: Request, reply: Callable[[Answer], None]) -> None: ...
    def refuses(self) -> bool: ...


Heard = Callable[[Request], None]


class Session:
    """One process's client.

    `called` hears of each request, `read` of those whose answer was read further than its beginning.
    """

    def __init__(self, loop: ProcessLoop, link: Link, service: Service, called: Heard, read: Heard) -> None:
        self._loop = loop
        self._link = link
        self._service = service
        self._called = called
        self._read = read

    def request(
        self,
        method: str,
        url: URL,
        *,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        timeout: aiohttp.ClientTimeout | None = None,
        allow_redirects: bool = True,
    ) -> Any:
        if allow_redirects:
            raise AssertionError("credentials go nowhere else")
        asked = Request(method, url.path, dict(url.query), json)
        return self._exchange(asked, timeout or aiohttp.ClientTimeout(total=2.0))

    def get(self, url: str, *, allow_redirects: bool = True) -> Any:
        return self.request("GET", URL(url), allow_redirects=allow_redirects)

    @asynccontextmanager
    async def _exchange(self, asked: Request, limits: aiohttp.ClientTimeout) -> AsyncIterator[Response]:
        self._called(asked)
        response = Response(self._loop, limits)
        if self._link.refuses or self._service.refuses():
            await asyncio.sleep(self._link.delay())
            raise aiohttp.ClientOSError(111, "refused")
        connection = Connection(self._link, response.broken)
        sender = _Sender(connection, response)
        connection.send(OUT, lambda: self._service.handle(asked, sender.reply))
        try:
            await response.begin()
            yield response
        finally:
            connection.close()
            if response.taken > 1:
                self._read(asked)


class _Sender:
    """The service's end of an exchange."""

    def __init__(self, connection: Connection, response: Response) -> None:
        self._connection = connection
        self._response = response

    def reply(self, answer: Answer) -> None:
        response = self._response
        self._connection.send(IN, lambda: response.head(answer.status, answer.headers))
        self._chunk(answer, 0)

    def _chunk(self, answer: Answer, index: int) -> None:
        if answer.cut and index >= len(answer.body) - 1:
            self._connection.reset()
            return
        if index == len(answer.body):
            self._connection.send(IN, self._response.end)
            return
        chunk = answer.body[index]
        self._connection.send(IN, lambda: self._response.data(chunk))
        if answer.pace:
            scheduler = self._connection.link.scheduler
            scheduler.after(answer.pace, lambda: self._chunk(answer, index + 1))
        else:
            self._chunk(answer, index + 1)


class Response:
    """The part of `aiohttp.ClientResponse` that the sidecar uses."""

    def __init__(self, loop: ProcessLoop, timeout: aiohttp.ClientTimeout) -> None:
        self.status = 0
        self.headers: Mapping[str, str] = {}
        self.content = self
        self._loop = loop
        self._until = loop.time() + timeout.total if timeout.total else float("inf")
        self._read = timeout.sock_read or float("inf")
        self._chunks: deque[bytes] = deque()
        self._ended = False
        self.taken = 0
        """Pieces of the body that were read."""
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    async def begin(self) -> None:
        while not self.status:
            if self._error is not None:
                raise self._error
            await self._wait()

    async def iter_any(self) -> AsyncIterator[bytes]:
        while True:
            while self._chunks:
                self.taken += 1
                yield self._chunks.popleft()
            if self._error is not None:
                raise self._error
            if self._ended:
                return
            await self._wait()

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            async with asyncio.timeout_at(min(self._until, self._loop.time() + self._read)):
                await self._waiter
        except TimeoutError:
            raise aiohttp.ServerTimeoutError from None
        finally:
            self._waiter = None

    # What arrives

    def head(self, status: int, headers: Mapping[str, str]) -> None:
        self.status, self.headers = status, headers
        self._wake()

    def data(self, chunk: bytes) -> None:
        self._chunks.append(chunk)
        self._wake()

    def end(self) -> None:
        self._ended = True
        self._wake()

    def broken(self) -> None:
        self._error = aiohttp.ClientPayloadError("cut") if self.status else aiohttp.ServerDisconnectedError()
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
