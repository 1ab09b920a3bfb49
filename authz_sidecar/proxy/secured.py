"""TLS between a plain transport and a protocol that speaks HTTP, in as little memory as it can be had.

The event loop could do this, too. But it keeps a buffer of 256 KiB for each connection, and OpenSSL's grow to
the most that was ever put in at once: measured, 40 KiB a connection that has only agreed on TLS, and 930 KiB
after one large request, for as long as it stays. Here

* OpenSSL gets whole records only (RFC 8446 §5.1), so that it holds the beginning of none. What has come of a
  record waits here, where it is counted;
* both of its buffers are filled a little at a time, so that they stay small.

A connection has nothing of TLS until its first record is here, and that is of a handshake.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from typing import Any, Final, cast

SLICE_BYTES: Final = 4096
"""What OpenSSL is given at once, in either direction."""
TLS_BYTES: Final = 16 * 1024
"""About the memory that a connection takes for having agreed on TLS (measured)."""
MOST_UNREAD_BYTES: Final = 64 * 1024
"""So much of what TLS says by itself may wait for a peer that does not read."""

_HEAD_BYTES: Final = 5
_HANDSHAKE: Final = 22
_MOST_BYTES: Final = _HEAD_BYTES + 2**14 + 2048
"""A record is no longer than this, even when it is enciphered (RFC 5246 §6.2.3)."""
_READ_BYTES: Final = 2**14


def whole_records(data: bytes) -> int:
    """How many of the bytes, from the first one on, are whole records. -1: they cannot be any."""
    size = 0
    while size + _HEAD_BYTES <= len(data):
        length = _HEAD_BYTES + int.from_bytes(data[size + 3 : size + _HEAD_BYTES], "big")
        if length > _MOST_BYTES:
            return -1
        if size + length > len(data):
            break
        size += length
    return size


class Secured(asyncio.Protocol):
    """The protocol of a plain transport, and the transport of what it deciphers for.

    A subclass says what becomes of it, and whether there is memory.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self._plain: asyncio.Transport | None = None
        self._protocol: asyncio.Protocol | None = None
        """Who is written to and reads; known once TLS is agreed on."""
        self._incoming = self._outgoing = cast(ssl.MemoryBIO, None)
        self._tls: ssl.SSLObject | None = None
        self._partial = b""
        """The beginning of a record."""
        self._said_farewell = False
        """Whether we have said that nothing more comes from here."""
        self._closing = False
        """Whether what still arrives is discarded."""

    # for the subclass

    def successor(self) -> asyncio.Protocol:
        """With whom it goes on when TLS is agreed on."""
        raise NotImplementedError

    def agreed(self) -> None:
        """It goes on with that one."""
        raise NotImplementedError

    def granted(self, held_bytes: int) -> bool:
        """Whether it may hold so much."""
        raise NotImplementedError

    def ended(self) -> None:
        """The connection is over."""
        raise NotImplementedError

    # the event loop calls these

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._plain = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._closing or self._plain is None:
            return
        if self._partial:
            data = self._partial + data
        size = -1 if self._tls is None and data[0] != _HANDSHAKE else whole_records(data)
        self._partial = data[size:] if size >= 0 else b""
        if size < 0 or not self._may_hold(size):
            self.abort()
        elif size:
            self._decipher(data[:size])

    def _may_hold(self, size: int) -> bool:
        held = len(self._partial)
        if size or self._tls is not None:
            held += TLS_BYTES
        return self.granted(held)

    def eof_received(self) -> bool:
        protocol = self._protocol
        if protocol is not None and not self._closing:
            protocol.eof_received()
        return False  # without its farewell there is nothing to be said, either

    def pause_writing(self) -> None:
        if self._protocol is not None:
            self._protocol.pause_writing()

    def resume_writing(self) -> None:
        if self._protocol is not None:
            self._protocol.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        protocol, self._protocol, self._plain = self._protocol, None, None
        self._partial = b""
        self.ended()
        if protocol is not None:
            protocol.connection_lost(exc)

    # TLS

    def _decipher(self, records: bytes) -> None:
        pieces: list[bytes] = []
        over = False
        try:
            for start in range(0, len(records), SLICE_BYTES):
                over = over or self._take(records[start : start + SLICE_BYTES], pieces)
        except ssl.SSLError:
            self._send()  # an alert says why
            self.abort()
            return
        self._send()
        protocol = self._protocol
        if protocol is not None and pieces:
            protocol.data_received(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        if over:
            self._heard_farewell()
        elif self.get_write_buffer_size() > MOST_UNREAD_BYTES and not pieces:
            self.abort()

    def _take(self, data: bytes, pieces: list[bytes]) -> bool:
        """Put it in and take out what can be; whether the peer has said that nothing more comes."""
        tls = self._tls
        if tls is None:
            tls = self._begin()
        self._incoming.write(data)
        try:
            if self._protocol is None:
                self._agree(tls)
            if self._closing:
                return False
            while piece := tls.read(_READ_BYTES):
                pieces.append(piece)
        except ssl.SSLWantReadError:
            return False
        return True

    def _begin(self) -> ssl.SSLObject:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = self._context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        return self._tls

    def _agree(self, tls: ssl.SSLObject) -> None:
        tls.do_handshake()
        self._send()
        self._protocol = protocol = self.successor()
        protocol.connection_made(cast(asyncio.Transport, self))
        self.agreed()

    def _send(self) -> None:
        """What TLS says by itself."""
        if self._plain is not None and self._outgoing.pending:
            self._plain.write(self._outgoing.read())

    def _heard_farewell(self) -> None:
        """The peer sends no more; as nobody can go on by half, that is the end."""
        if self._protocol is not None:
            self._protocol.eof_received()
        self.close()

    # what it deciphers for calls these, as a transport's

    def write(self, data: bytes) -> None:
        tls, plain = self._tls, self._plain
        if tls is None or plain is None or self._said_farewell:
            return
        records: list[bytes] = []
        try:
            for start in range(0, len(data), SLICE_BYTES):
                tls.write(data[start : start + SLICE_BYTES])
                records.append(self._outgoing.read())
        except ssl.SSLError:
            self.abort()
            return
        plain.write(records[0] if len(records) == 1 else b"".join(records))

    def _say_farewell(self) -> None:
        if self._tls is not None and not self._said_farewell:
            self._said_farewell = True
            with suppress(ssl.SSLError):  # the peer's is not waited for
                self._tls.unwrap()
            self._send()

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self._say_farewell()
        if self._plain is not None:
            self._plain.write_eof()

    def close(self) -> None:
        self._say_farewell()
        self._closing = True
        if self._plain is not None:
            self._plain.close()

    def abort(self) -> None:
        self._closing = True
        if self._plain is not None:
            self._plain.abort()

    def is_closing(self) -> bool:
        return self._plain is None or self._plain.is_closing()

    def pause_reading(self) -> None:
        if self._plain is not None:
            self._plain.pause_reading()

    def resume_reading(self) -> None:
        if self._plain is not None:
            self._plain.resume_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        if self._plain is not None:
            self._plain.set_write_buffer_limits(high=high, low=low)

    def get_write_buffer_size(self) -> int:
        return 0 if self._plain is None else self._plain.get_write_buffer_size()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "sslcontext":
            return self._context
        return default if self._plain is None else self._plain.get_extra_info(name, default)
