"""The hostile clients, in a process of their own, which is told of each wave by a line on its input.

    python -m lab.hostile.clients PORT TLS_PORT

A line is the JSON of an `Order`, the answer to it that of a `Tally`.
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import struct
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import count
from typing import Final, cast

import uvloop

from lab.hostile.kinds import HARMLESS, IDLE, KINDS, Kind

TICK_SECONDS: Final = 0.02
NETWORK: Final = "127.0.1."
ADDRESSES: Final = 32
"""From so many addresses of this network, because each has a limited number of ports."""
MOST_UNSENT: Final = 1024 * 1024
SMALLEST_BUFFER: Final = 4096
_BY_NAME: Final = {kind.name: kind for kind in (HARMLESS, IDLE, *KINDS)}


@dataclass(frozen=True, slots=True)
class Order:
    """Open so many `connections` of each of the `kinds`, at that rate in all, and hold them."""

    kinds: tuple[str, ...]
    connections: int
    rate: float
    seconds: float
    """Those that are closed by the sidecar are opened anew, at the same rate."""
    pace: float = 1.0
    """Seconds at least between two times that a connection goes on."""


@dataclass(slots=True)
class Tally:
    """What became of the connections."""

    opened: int = 0
    failed: int = 0
    """Could not be opened."""
    ended: int = 0
    """By the sidecar, or by a client that leaves."""
    standing: int = 0
    """In the end."""


class Client(asyncio.Protocol):
    """One connection."""

    def __init__(self, crowd: Crowd, kind: Kind, number: int) -> None:
        self.kind = kind
        self._crowd = crowd
        self._number = number
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = made = cast(asyncio.Transport, transport)
        self._crowd.made(self)
        loop = asyncio.get_running_loop()
        if not self.kind.reads:
            loop.call_soon(self._stop_reading)
        made.write(self.kind.says(self._number))
        if self.kind.leaves == "half":
            made.write_eof()
        elif self.kind.leaves == "reset":
            loop.call_soon(self.reset)
        elif self.kind.goes_on is not None:
            loop.call_later(self._crowd.pause(self.kind), self._go_on)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._crowd.lost(self)

    def _stop_reading(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def _go_on(self) -> None:
        transport = self._transport
        if transport is None or transport.is_closing() or self.kind.goes_on is None:
            return
        if transport.get_write_buffer_size() < MOST_UNSENT:
            transport.write(self.kind.goes_on(self._number))
        asyncio.get_running_loop().call_later(self._crowd.pause(self.kind), self._go_on)

    def reset(self) -> None:
        if self._transport is not None:
            connection = self._transport.get_extra_info("socket")
            if connection is not None:  # it has not just gone
                with suppress(OSError):
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()


class Crowd:
    """All clients of one wave."""

    def __init__(self, ports: tuple[int, int], order: Order) -> None:
        self._ports = ports
        self._order = order
        self._wanted = [_BY_NAME[name] for name in order.kinds] * order.connections
        self._clients: set[Client] = set()
        self._opening: set[asyncio.Task[None]] = set()
        self._numbers = count(1)
        self._tls = _trusting()
        self.tally = Tally()

    async def run(self) -> Tally:
        ends = time.monotonic() + len(self._wanted) / self._order.rate + self._order.seconds
        due = 0.0
        while time.monotonic() < ends:
            due = min(due + self._order.rate * TICK_SECONDS, self._order.rate)
            while due >= 1 and self._wanted:
                due -= 1
                self._open(self._wanted.pop(0))
            await asyncio.sleep(TICK_SECONDS)
        self.tally.standing = len(self._clients)
        self._wanted = []
        await self._leave()
        return self.tally

    def _open(self, kind: Kind) -> None:
        task = asyncio.get_running_loop().create_task(self._connect(kind, next(self._numbers)))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _connect(self, kind: Kind, number: int) -> None:
        make: Callable[[], Client] = lambda: Client(self, kind, number)  # noqa: E731 (for its type)
        loop, connection = asyncio.get_running_loop(), socket.socket()
        try:
            connection.setblocking(False)
            if not kind.reads:  # what it does not read is to stay with the sidecar
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALLEST_BUFFER)
            connection.bind((f"{NETWORK}{1 + number % ADDRESSES}", 0))
            await loop.sock_connect(connection, ("127.0.0.1", self._ports[kind.tls]))
            tls = self._tls if kind.agrees else None
            await loop.create_connection(
                make, sock=connection, ssl=tls, server_hostname="localhost" if tls else None
            )
        except OSError:
            connection.close()
            self.tally.failed += 1
            self._wanted.append(kind)

    def pause(self, kind: Kind) -> float:
        """Seconds until a connection of this kind goes on."""
        return max(kind.every, self._order.pace)

    def made(self, client: Client) -> None:
        self.tally.opened += 1
        self._clients.add(client)

    def lost(self, client: Client) -> None:
        self.tally.ended += 1
        self._clients.discard(client)
        self._wanted.append(client.kind)

    async def _leave(self) -> None:
        while self._clients or self._opening:
            for client in list(self._clients):
                client.reset()
            await asyncio.sleep(TICK_SECONDS)


def _trusting() -> ssl.SSLContext:
    """Whoever attacks does not ask who it is."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def serve(ports: tuple[int, int]) -> None:
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        tally = await Crowd(ports, Order(**json.loads(line))).run()
        print(json.dumps(asdict(tally)), flush=True)


if __name__ == "__main__":
    uvloop.run(serve((int(sys.argv[1]), int(sys.argv[2]))))
