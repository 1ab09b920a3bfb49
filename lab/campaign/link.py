"""TCP proxies that can be cut, delayed and silenced, in each direction."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Coroutine
from contextlib import suppress
from threading import Thread
from typing import Any, Literal, NamedTuple, TypeVar

from lab import DEADLINE
from lab.stack.accepting import let_begin
from lab.stack.process import free_port

T = TypeVar("T")

Direction = Literal["to_server", "to_client"]
DIRECTIONS: tuple[Direction, ...] = ("to_server", "to_client")
CHUNK = 16 * 1024
BUFFER = 64 * 1024
"""Bytes a silenced direction holds in each socket: little, so that senders soon feel it."""


class Server(NamedTuple):
    host: str
    port: int


class Lane:
    """One direction of a link."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.delay = 0.0


class Link:
    """Everything one client says to one server passes here. Use it from one event loop."""

    def __init__(self, name: str, server: Server) -> None:
        self.name = name
        self.server = server
        self.port = free_port()
        self.lanes: dict[Direction, Lane] = {direction: Lane() for direction in DIRECTIONS}
        self.is_cut = False
        self.connections: set[asyncio.StreamWriter] = set()

    async def listen(self) -> None:
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", self.port, limit=BUFFER)

    def close(self) -> None:
        self._listener.close()
        self.reset()

    def reset(self) -> None:
        """End every connection with RST, as a peer does that knows nothing of them."""
        for writer in list(self.connections):
            _abort(writer)

    def restore(self) -> None:
        """What was held back is delivered late; connections that were cut stay cut."""
        self.is_cut = False
        for lane in self.lanes.values():
            lane.delay = 0.0
            lane.open.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if not self.is_cut:
                await self._pass_on(reader, writer)
        except* OSError:
            pass  # one end is gone: so is the other
        finally:
            _abort(writer)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(*self.server, limit=BUFFER)
        for end in (writer, far_writer):
            _keep_little(end)
        self.connections |= {writer, far_writer}
        try:
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(_pump(reader, far_writer, self.lanes["to_server"]))
                pumps.create_task(_pump(far_reader, writer, self.lanes["to_client"]))
        finally:
            self.connections -= {writer, far_writer}
            _abort(far_writer)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, lane: Lane) -> None:
    while data := await reader.read(CHUNK):
        if lane.delay:
            await asyncio.sleep(lane.delay)
        await lane.open.wait()
        writer.write(data)
        await writer.drain()
    await lane.open.wait()
    with suppress(OSError):
        writer.write_eof()


def _keep_little(writer: asyncio.StreamWriter) -> None:
    connection: socket.socket = writer.get_extra_info("socket")
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        connection.setsockopt(socket.SOL_SOCKET, option, BUFFER)
    writer.transport.set_write_buffer_limits(high=BUFFER)


def _abort(writer: asyncio.StreamWriter) -> None:
    if writer.transport.is_closing():
        return
    connection: socket.socket = writer.get_extra_info("socket")
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class Network:
    """All links, on an event loop in a thread of its own; its methods may be called from any thread."""

    def __init__(self) -> None:
        self.links: dict[str, Link] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="network", daemon=True)
        self._thread.start()

    def add(self, name: str, port: int) -> int:
        """A link to a port of this machine; the port to connect to instead."""
        link = self._call(_make(name, port))
        self.links[name] = link
        return link.port

    def cut(self, name: str) -> None:
        """End all connections, and every new one at once."""

        async def do(link: Link) -> None:
            link.is_cut = True
            link.reset()

        self._call(do(self.links[name]))

    def delay(self, name: str, direction: Direction, seconds: float) -> None:
        async def do(lane: Lane) -> None:
            lane.delay = seconds

        self._call(do(self.links[name].lanes[direction]))

    def silence(self, name: str, *directions: Direction) -> None:
        """Connections stay, or are even accepted, but nothing passes any more."""

        async def do(link: Link) -> None:
            for direction in directions:
                link.lanes[direction].open.clear()

        self._call(do(self.links[name]))

    def redirect(self, name: str, port: int, *, reset: bool = True) -> None:
        """New connections go to another server; the present ones end, or stay with the old one."""

        async def do(link: Link) -> None:
            link.server = Server("127.0.0.1", port)
            if reset:
                link.reset()

        self._call(do(self.links[name]))

    def restore(self, name: str, *, reset: bool = False) -> None:
        async def do(link: Link) -> None:
            if reset:
                link.reset()
            link.restore()

        self._call(do(self.links[name]))

    def close(self) -> None:
        async def stop() -> None:
            await let_begin()
            for link in self.links.values():
                link.close()
            while others := asyncio.all_tasks() - {asyncio.current_task()}:
                for task in others:
                    task.cancel()
                await asyncio.gather(*others, return_exceptions=True)

        self._call(stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=DEADLINE)


async def _make(name: str, port: int) -> Link:
    link = Link(name, Server("127.0.0.1", port))
    await link.listen()
    return link
