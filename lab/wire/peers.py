"""The two ends: a client and an upstream that read and write bytes and know no HTTP of their own."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Self

import h11

from lab import DEADLINE
from lab.stack.accepting import let_begin


class Peer:
    """One connection. What is read is kept in `received`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.received = b""
        self.writer = writer
        self.gone = asyncio.Event()
        """Set when the other side has left a connection that is answered by itself."""
        self._reader = reader

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def until(self, found: Callable[[bytes], bool]) -> bytes:
        """Read until `found(received)`; all that has been received. The other side's end ends it too."""
        async with asyncio.timeout(DEADLINE):
            while not found(self.received):
                data = await self._reader.read(65536)
                if not data:
                    raise EOFError(f"closed after {self.received!r}")
                self.received += data
        return self.received

    async def contains(self, text: bytes) -> bytes:
        return await self.until(lambda received: text in received)

    async def rest(self) -> bytes:
        """Everything up to the end of the stream. Raises ConnectionError after a reset."""
        async with asyncio.timeout(DEADLINE):
            while data := await self._reader.read(65536):
                self.received += data
        return self.received

    async def read(self) -> bytes:
        """Some more bytes, which are not kept."""
        async with asyncio.timeout(DEADLINE):
            data = await self._reader.read(65536)
        if not data:
            raise EOFError("closed")
        return data

    def take(self) -> bytes:
        received, self.received = self.received, b""
        return received

    def eof(self) -> None:
        self.writer.write_eof()

    def close(self) -> None:
        self.writer.close()

    async def closed(self) -> bytes:
        """Everything up to the end of the stream, be it orderly or a reset."""
        with suppress(ConnectionError):
            await self.rest()
        return self.received

    def raw_socket(self) -> socket.socket:
        """The same connection, past the event loop; to be closed."""
        return socket.socket(fileno=os.dup(self.writer.get_extra_info("socket").fileno()))

    def reset(self) -> None:
        """Leave with a RST."""
        connection = self.writer.get_extra_info("socket")
        if connection is not None and connection.fileno() >= 0 and connection.family != socket.AF_UNIX:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.transport.abort()


class Client(Peer):
    """A client of the proxy."""

    @classmethod
    async def connect(cls, port: int, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> Self:
        name = "localhost" if tls else None
        return cls(*await asyncio.open_connection(host, port, ssl=tls, server_hostname=name))


class Upstream:
    """Accepts connections. With `answer` set it plays a server; else the test does, by `accept()`."""

    def __init__(self) -> None:
        self.answer: bytes | None = None
        """What each request is answered with."""
        self.peers: list[Peer] = []
        self.port = 0
        self._new: asyncio.Queue[Peer] = asyncio.Queue()
        self._server: asyncio.Server | None = None

    @property
    def received(self) -> bytes:
        """All bytes of all connections."""
        return b"".join(peer.received for peer in self.peers)

    async def accept(self) -> Peer:
        async with asyncio.timeout(DEADLINE):
            return await self._new.get()

    async def start(
        self,
        path: str | None = None,
        tls: ssl.SSLContext | None = None,
        listener: socket.socket | None = None,
    ) -> None:
        if path is not None:
            self._server = await asyncio.start_unix_server(self._connected, path)
            return
        listener = listener or socket.create_server(("127.0.0.1", 0))
        self._server = await asyncio.start_server(self._connected, sock=listener, ssl=tls)
        self.port = listener.getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            await let_begin()
            self._server.close()
        for peer in self.peers:
            peer.reset()
        await asyncio.sleep(0)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer)
        self.peers.append(peer)
        if self.answer is None:
            self._new.put_nowait(peer)
        else:
            await self._serve(peer, reader)

    async def _serve(self, peer: Peer, reader: asyncio.StreamReader) -> None:
        """Answer each whole request, as an independent parser sees them."""
        parser = h11.Connection(h11.SERVER)
        try:
            while data := await reader.read(65536):
                peer.received += data
                parser.receive_data(data)
                await self._answer_whole(peer, parser)
        except (ConnectionError, h11.RemoteProtocolError):
            pass
        peer.writer.close()
        peer.gone.set()

    async def _answer_whole(self, peer: Peer, parser: h11.Connection) -> None:
        while (event := parser.next_event()) not in (h11.NEED_DATA, h11.PAUSED):
            if isinstance(event, h11.ConnectionClosed):
                return
            if isinstance(event, h11.EndOfMessage):
                await peer.send(self.answer or b"")
                parser.send(h11.Response(status_code=204, headers=[]))
                parser.send(h11.EndOfMessage())
                if parser.our_state is not h11.DONE:
                    peer.writer.close()
                    return
                parser.start_next_cycle()


async def wait_for(condition: Callable[[], object]) -> None:
    """Until `condition()` holds; it has to be something that the event loop brings about."""
    async with asyncio.timeout(DEADLINE):
        while not condition():
            await asyncio.sleep(0.001)
