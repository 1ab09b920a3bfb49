"""What both ends of a proxied connection have in common, and when what they write is sent."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from typing import Final, cast

MOST_PIECES: Final = 8
"""So many do not wait for the end of the turn: whoever reads nothing must be noticed within it."""
LARGE_BYTES: Final = 16 * 1024
"""A piece like this is worth a wake-up of its own, and would only take up memory. Only the first piece of
a message waits whatever its size: its connection may turn out to have ended."""

UNSENT_BYTES: Final = 128 * 1024
"""What may wait in the kernel beside what is under way. Left to itself it takes megabytes of what the other
end does not read, for each connection, and we hear nothing of it."""

_RESET: Final = struct.pack("ii", 1, 0)


class Outbox:
    """Sends what was written in one turn of the event loop when the turn is over.

    A send wakes whoever waits at the other end, often on a core that has gone to sleep. Done in a row,
    the first one wakes it for all of them: measured, half of the kernel's time for a request.
    """

    def __init__(self) -> None:
        self._senders: list[Connection] = []

    def add(self, sender: Connection) -> None:
        if not self._senders:
            asyncio.get_running_loop().call_soon(self._send)
        self._senders.append(sender)

    def _send(self) -> None:
        senders, self._senders = self._senders, []
        for sender in senders:
            sender.flush()


class Connection:
    """One end: a transport that is paused and resumed, and bytes that wait for the end of the turn."""

    def __init__(self, outbox: Outbox) -> None:
        self.reading = True
        self._outbox = outbox
        self._unsent: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        self._used = True
        """Whether the other end has been handed a byte of the message that is under way."""
        self.writable = True
        self._handed_bytes = 0
        """What the transport was handed last. It keeps all of that until the last byte of it is sent."""

    @property
    def backlog_bytes(self) -> int:
        """What waits for the other end to read, if it is much."""
        if self.writable or self._transport is None:
            return 0
        return max(self._handed_bytes, self._transport.get_write_buffer_size())

    @property
    def descriptor(self) -> int:
        """The socket's; -1 where there is none any more."""
        connection = None if self._transport is None else self._transport.get_extra_info("socket")
        return -1 if connection is None else connection.fileno()

    def opened(self, transport: asyncio.BaseTransport, high_water_bytes: int) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=high_water_bytes)
        connection = transport.get_extra_info("socket")
        if connection is not None and connection.family != socket.AF_UNIX:
            with suppress(OSError):
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)

    def write(self, data: bytes) -> None:
        if data and self._transport is not None:
            if not self._unsent:
                self._outbox.add(self)
            self._unsent.append(data)
            if len(self._unsent) == MOST_PIECES or (self._used and len(data) > LARGE_BYTES):
                self.flush()

    def flush(self) -> None:
        """Hand what was written to the kernel now."""
        unsent = self._unsent
        if unsent and self._transport is not None:
            self._unsent, self._used = [], True
            data = unsent[0] if len(unsent) == 1 else b"".join(unsent)
            self._handed_bytes = len(data)
            self._transport.write(data)

    def write_eof(self) -> None:
        """Say that nothing more will be written, where that can be said."""
        self.flush()
        if self._transport is not None and self._transport.can_write_eof():
            with suppress(OSError):
                self._transport.write_eof()

    def reset(self) -> None:
        """Close so that the other end cannot take what it has for the whole (with RST where possible)."""
        self.flush()
        if self._transport is not None:
            connection = self._transport.get_extra_info("socket")
            if connection is not None and connection.family != socket.AF_UNIX:
                with suppress(OSError):
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self._transport.abort()

    def read(self, reading: bool) -> None:
        """Pause, and go on."""
        if reading is not self.reading and self._transport is not None:
            self.reading = reading
            if reading:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()
