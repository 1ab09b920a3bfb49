"""TCP as the byte path sees it: a transport of the product at one end, a peer of the world at the other.

What one end sends arrives at the other in order, in other pieces, or not at all. An end can say that it
sends no more (FIN) and still read; it can vanish (RST); it can leave unread what has arrived, until the
other end's writer is paused. What the product is told, it is told inside its own event loop.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import count
from random import Random
from typing import Any, Protocol

from lab.simulation.links import IN, OUT, Connection, Link
from lab.simulation.scheduler import ProcessLoop

PEER_NAME = ("192.0.2.1", 50_000)
LARGEST_PIECE = 8_192
NO_DESCRIPTOR = -1
"""Nothing can be read from it: what had arrived was handed over before."""


class Ours(Protocol):
    """The product's end: what asyncio calls of a protocol."""

    def connection_made(self, transport: asyncio.Transport) -> None: ...
    def data_received(self, data: bytes) -> None: ...
    def eof_received(self) -> bool | None: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...
    def connection_lost(self, exc: Exception | None) -> None: ...


_ages: dict[int, int] = {}
"""By address: what is compiled takes no weak references, and who is asked for is alive."""
_count = count(1)


def age(protocol: Ours) -> int:
    """Who was connected first is the oldest."""
    return _ages[id(protocol)]


class Peer(Protocol):
    """The end that is not ours."""

    def received(self, data: bytes) -> None: ...
    def ended(self) -> None:
        """The product sends no more."""

    def lost(self) -> None:
        """The connection was reset."""


class _Socket:
    """What the product asks of the socket beneath: to end with a reset."""

    family = socket.AF_INET

    def __init__(self) -> None:
        self.resets = False

    def fileno(self) -> int:
        return NO_DESCRIPTOR

    def setsockopt(self, _level: int, option: int, _value: bytes) -> None:
        self.resets = self.resets or option == socket.SO_LINGER


class _End:
    """What arrives at the product beside bytes."""


_EOF, _LOST = _End(), _End()


class Wire(asyncio.Transport):
    """One connection. `attach` says who is at the product's end."""

    def __init__(self, loop: ProcessLoop, link: Link, random: Random, peer: Peer) -> None:
        super().__init__()
        self._socket = _Socket()
        self._loop = loop
        self._random = random
        self._peer = peer
        self._link = Connection(link, self._cut)
        self._protocol: Ours | None = None
        self._inbox: deque[bytes | _End] = deque()
        self._reading = True
        self._called = False
        self._closing = False
        self._ended = False
        """The product sends no more."""
        self._lost = False
        """The product has been told that it is over."""
        self._backlog = 0
        self._high = 64 * 1024
        self._paused = False
        self._drops = False
        """What is still on its way to the peer is lost."""
        self._was_reset = False
        """An end in order that waited behind what is still on its way is not said any more."""
        self._peer_reads = True
        self._peer_gone = False
        self._held: deque[Callable[[], object]] = deque()

    def attach(self, protocol: Ours) -> None:
        """To be called inside the process's loop."""
        self._protocol = protocol
        _ages[id(protocol)] = next(_count)
        protocol.connection_made(self)
        self._call_soon()

    # what the product calls

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"peername": PEER_NAME, "socket": self._socket}.get(name, default)

    def is_closing(self) -> bool:
        return self._closing

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = high or self._high

    def get_write_buffer_size(self) -> int:
        return self._backlog

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        self._reading = True
        self._call_soon()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._closing or self._ended:
            return
        self._backlog += len(data)
        self._link.send(OUT, partial(self._to_peer, partial(self._take, bytes(data))))
        self._call_soon()  # whoever writes notices an end that he does not read
        if self._backlog > self._high and not self._paused and self._protocol is not None:
            self._paused = True
            self._protocol.pause_writing()

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        if not self._ended and not self._closing:
            self._ended = True
            self._link.send(OUT, partial(self._to_peer, self._end))

    def close(self) -> None:
        """What was written is sent first."""
        if self._closing:
            return
        self._close_reading()
        if not self._ended:
            self._link.send(OUT, partial(self._to_peer, self._end))
        self._tell_closed()

    def abort(self) -> None:
        """At once; whoever leaves something unread, or asks for it, ends with a reset."""
        if self._lost:
            return
        resets = self._socket.resets or any(isinstance(item, bytes) for item in self._inbox)
        self._drops = self._drops or (bool(self._backlog) and self._random.random() < 0.5)
        self._close_reading()
        if resets:
            self._was_reset = True
            self._link.send(OUT, partial(self._to_peer, self._vanish))
        elif not self._ended:
            self._link.send(OUT, partial(self._to_peer, self._end))
        self._loop.call_soon(self._lose, None)

    # what the peer calls

    def send(self, data: bytes) -> None:
        """In pieces of any size."""
        while data:
            size = self._random.randint(1, min(len(data), LARGEST_PIECE))
            piece, data = data[:size], data[size:]
            if self._random.random() < 0.5:  # most messages arrive as they were sent
                piece, data = piece + data[:LARGEST_PIECE], data[LARGEST_PIECE:]
            self._link.send(IN, partial(self._arrive, piece))

    def finish(self) -> None:
        """The peer sends no more."""
        self._link.send(IN, partial(self._arrive, _EOF))

    def leave(self) -> None:
        """The peer is gone: it has said so, and whatever else is sent to it is answered by a reset."""
        self.finish()
        self._peer_gone = True
        self.set_peer_reading(True)
        self._forget()

    def vanish(self) -> None:
        """The peer resets the connection."""
        self._peer_gone = True
        self._link.send(IN, partial(self._arrive, _LOST))
        self._forget()

    def set_peer_reading(self, reading: bool) -> None:
        self._peer_reads = reading
        while self._peer_reads and self._held:
            self._held.popleft()()

    # on the way

    def _to_peer(self, action: Callable[[], object]) -> None:
        if self._peer_reads and not self._held:
            action()
        else:
            self._held.append(action)

    def _take(self, data: bytes) -> None:
        self._backlog -= len(data)
        if self._peer_gone:
            self._link.send(IN, partial(self._arrive, _LOST))
        elif not self._drops:
            self._peer.received(data)
        if self._paused and self._backlog * 4 <= self._high:
            self._paused = False
            self._loop.call_soon(self._resume_writing)
        self._tell_closed()

    def _end(self) -> None:
        if not self._was_reset:
            self._peer.ended()

    def _vanish(self) -> None:
        self._peer_gone = True
        self._peer.lost()
        self._link.close()

    def _arrive(self, what: bytes | _End) -> None:
        if self._closing and what is not _LOST:
            if isinstance(what, bytes) and not self._peer_gone:  # nobody reads that any more
                self._drops = self._drops or self._random.random() < 0.5
                self._link.send(OUT, partial(self._to_peer, self._vanish))
            return
        self._inbox.append(what)
        self._call_soon()

    def _cut(self) -> None:
        """The link ends it, for both."""
        if not self._peer_gone:
            self._peer_gone = True
            self._peer.lost()
        self._inbox.append(_LOST)
        self._call_soon()

    # inside the process

    def _call_soon(self) -> None:
        if self._inbox and not self._called and self._protocol is not None:
            self._called = True
            self._loop.call_soon(self._hand_over)

    def _hand_over(self) -> None:
        self._called = False
        protocol = self._protocol
        notices = self._reading or self._backlog or self._closing
        if self._lost or protocol is None or not self._inbox or not notices:
            return
        if not self._reading and self._inbox[-1] is not _LOST:
            return
        what = self._inbox.popleft() if self._reading and not self._closing else self._inbox.pop()
        if what is _LOST:
            self._lose(ConnectionResetError("reset by peer"))
        elif what is _EOF:
            if not protocol.eof_received():
                self.close()
        elif isinstance(what, bytes):
            protocol.data_received(what)
        self._call_soon()

    def _resume_writing(self) -> None:
        if not self._lost and self._protocol is not None:
            self._protocol.resume_writing()

    def _close_reading(self) -> None:
        self._closing = True
        self._inbox.clear()

    def _tell_closed(self) -> None:
        if self._closing and not self._backlog:
            self._loop.call_soon(self._lose, None)

    def _lose(self, error: Exception | None) -> None:
        if not self._lost and self._protocol is not None:
            self._lost = self._closing = True
            self._protocol.connection_lost(error)
            self._forget()

    def _forget(self) -> None:
        if self._lost and self._peer_gone:
            self._link.send(OUT, self._link.close)
