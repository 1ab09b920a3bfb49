"""A whole sidecar in front of the real Student service, with a tap on the wire between them.

So each attack is judged by what is answered, by the exact bytes that got past the sidecar, and by what
the service made of them.
"""

from __future__ import annotations

import asyncio
import re
import socket
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from urllib.parse import unquote

from lab.stack.services import Sidecar, StudentService
from lab.wire.parsers import Request, read_alike
from lab.wire.peers import Client, Peer, Upstream, wait_for

SENTINEL = b"GET /sentinel HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
"""What is sent after an attack: once it is answered, whatever got past before it has been seen."""


class Tap(Upstream):
    """Passes everything on to a server and back, and keeps what went there.

    With `onward` 0 nothing is passed on: it is an upstream like any other.
    """

    def __init__(self, onward: int) -> None:
        super().__init__()
        self.onward = onward
        self._passing: list[Peer] = []

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.onward:
            await super()._connected(reader, writer)
            return
        peer = Peer(reader, writer)
        self.peers.append(peer)
        self._passing.append(peer)
        async with await Client.connect(self.onward) as server:
            await asyncio.gather(_pump(peer, server), _pump(server, peer))
        peer.gone.set()

    async def stop(self) -> None:
        await super().stop()
        for peer in self._passing:
            await peer.gone.wait()


async def _pump(source: Peer, sink: Peer) -> None:
    """Until one of them ends, as it ended: in order, or with a reset."""
    try:
        while True:
            data = await source.read()
            source.received += data
            await sink.send(data)
    except EOFError:
        sink.close()
    except ConnectionError:
        sink.reset()


@dataclass
class Front:
    """What is attacked. In a request, `<name>` stands for that user's access token."""

    sidecar: Sidecar
    student: StudentService
    tap: Tap
    tokens: Mapping[str, str]
    database: sqlite3.Connection
    direct: int = 0
    """Requests that went past the sidecar."""
    log_size: int = field(init=False)
    version: int = field(init=False)

    def __post_init__(self) -> None:
        self.log_size = self.student.access_log_path.stat().st_size
        self.version = self._database_version()

    async def client(self) -> Client:
        return await Client.connect(self.sidecar.port)

    def filled(self, request: bytes) -> bytes:
        for name, token in self.tokens.items():
            request = request.replace(b"<%b>" % name.encode(), token.encode())
        return request

    async def ask(self, request: bytes) -> bytes:
        """Send on a new connection, stop sending, and read all that comes back."""
        return await self._ask(self.sidecar.port, request)

    async def ask_directly(self, request: bytes) -> bytes:
        """The same past the sidecar, for a single request."""
        self.direct += 1
        return await self._ask(self.student.port, request)

    async def _ask(self, port: int, request: bytes) -> bytes:
        async with await Client.connect(port) as client:
            await client.send(self.filled(request))
            client.eof()
            return await client.closed()

    async def arrived(self) -> list[Request]:
        """The requests that got past the sidecar: two parsers and the service have read them alike."""
        assert statuses(await self.ask(SENTINEL)) == [404]
        found = [request for peer in self.tap.peers for request in read_alike(peer.received)]
        await wait_for(lambda: len(self._served()) >= len(found))
        served = sorted(self._served())
        expected = sorted(map(_as_served, found))
        assert served == expected, (served, expected)
        return [request for request in found if request.target != "/sentinel"]

    async def nothing_arrived(self) -> None:
        """Not a byte got past the sidecar, and nothing was changed."""
        assert await self.arrived() == []
        assert re.fullmatch(rb"(GET /sentinel HTTP/1.1\r\n([^\r\n]+\r\n)+\r\n)+", self.tap.received)
        assert not self.changed

    async def refuses(self, attacks: Mapping[str, tuple[bytes, str]]) -> None:
        """Each head gets the code that stands beside it, no token comes back, and nothing gets past."""
        for name, (attack, code) in attacks.items():
            answer = await self.ask(attack + b"\r\n")
            assert f'"code": "{code}"'.encode() in answer, (name, code, answer)
            assert not any(token.encode() in answer for token in self.tokens.values()), name
        await self.nothing_arrived()

    async def settled(self) -> None:
        """Whatever the service has begun to answer is logged, and will not be taken for the next test's."""
        if self.tap.onward == self.student.port:
            begun = self.tap.received.count(b"\r\nX-Request-Id: ") + self.direct
            await wait_for(lambda: len(self._served()) >= begun)

    @property
    def changed(self) -> bool:
        """Whether anybody has written to the service's database."""
        return self._database_version() != self.version

    def _database_version(self) -> int:
        return int(self.database.execute("PRAGMA data_version").fetchone()[0])

    def _served(self) -> list[str]:
        """Method and decoded path of the requests that the service has answered, as it logged them."""
        with self.student.access_log_path.open(encoding="utf-8") as log:
            log.seek(self.log_size)
            return [line.rpartition(" ")[0] for line in log]


def _as_served(request: Request) -> str:
    return f"{request.method} {unquote(request.target.partition('?')[0])}"


def statuses(answer: bytes) -> list[int]:
    """Of all responses in a row."""
    return [int(status) for status in re.findall(rb"HTTP/1\.1 ([0-9]{3}) ", answer)]


@asynccontextmanager
async def attacking(
    sidecar: Sidecar, student: StudentService, listener: socket.socket, tokens: Mapping[str, str]
) -> AsyncIterator[Front]:
    """`listener` is the socket that the sidecar's upstream was said to be."""
    tap = Tap(student.port)
    await tap.start(listener=listener.dup())
    try:
        with closing(sqlite3.connect(student.directory / "db.sqlite3")) as database:
            front = Front(sidecar, student, tap, tokens, database)
            yield front
            await front.settled()
    finally:
        await tap.stop()
