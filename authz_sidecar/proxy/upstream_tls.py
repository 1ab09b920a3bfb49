"""TLS to the protected service, and what it had said when its connection broke.

A service may answer and leave while we still send. The transport gives up at the first byte that it cannot
send, and takes with it what the kernel has received and nobody has deciphered yet. So something stands
between the transport and what deciphers, and hands that over first.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import cast

from authz_sidecar.proxy.upstream import UpstreamConnection, at_hand


async def secure(
    transport: asyncio.Transport, connection: UpstreamConnection, context: ssl.SSLContext, host: str
) -> None:
    """Agree on TLS with the `host` at the other end, and let `connection` have what it says."""
    loop, protocol = asyncio.get_running_loop(), cast(asyncio.Protocol, connection)
    secured = await loop.start_tls(transport, protocol, context, server_hostname=host)
    assert secured is not None  # noqa: S101 (only where the transport was closed meanwhile, which raises)
    deciphers = cast(asyncio.BufferedProtocol, transport.get_protocol())
    transport.set_protocol(_LastWords(transport, deciphers, connection))
    connection.connection_made(secured)


class _LastWords(asyncio.BufferedProtocol):
    """Passes everything on, and before the end what has come and was not read."""

    def __init__(
        self,
        transport: asyncio.Transport,
        deciphers: asyncio.BufferedProtocol,
        connection: UpstreamConnection,
    ) -> None:
        self._transport = transport
        self._deciphers = deciphers
        self._connection = connection

    def get_buffer(self, sizehint: int) -> bytearray | memoryview:
        return self._deciphers.get_buffer(sizehint)  # type: ignore[return-value]  # any writable buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._deciphers.buffer_updated(nbytes)

    def eof_received(self) -> bool | None:
        return self._deciphers.eof_received()

    def pause_writing(self) -> None:
        self._deciphers.pause_writing()

    def resume_writing(self) -> None:
        self._deciphers.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        plain = self._transport.get_extra_info("socket")
        while plain is not None and self._connection.busy and (data := at_hand(plain.fileno())):
            self._hand_over(data)
        self._deciphers.connection_lost(exc)

    def _hand_over(self, data: bytes) -> None:
        while data:
            buffer = memoryview(self._deciphers.get_buffer(len(data)))
            size = min(len(buffer), len(data))
            buffer[:size] = data[:size]
            self._deciphers.buffer_updated(size)
            data = data[size:]
