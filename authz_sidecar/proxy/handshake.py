"""A client's connection before it speaks HTTP: it is counted and timed from the moment it is accepted.

The event loop could negotiate TLS by itself, but then we would hear of a connection only afterwards, and
whoever never says a word would be nobody. So it accepts plain connections. One that has a place is taken from
it, at the level of sockets and before a byte is read, and given back to it as one that is to speak TLS.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from contextlib import suppress
from functools import partial
from typing import Final, cast

from authz_sidecar.core.verdicts import FaultCode
from authz_sidecar.proxy.downstream import Downstream
from authz_sidecar.proxy.shared import Shared

_RECORD_HEAD_BYTES: Final = 5
_HANDSHAKE: Final = 22
_MOST_BYTES: Final = _RECORD_HEAD_BYTES + 2**14
"""A record is no longer than this."""


class Handshake(asyncio.Protocol):
    """Lets TLS be negotiated, and then `client` have the connection."""

    def __init__(self, shared: Shared, tls: ssl.SSLContext, client: Downstream) -> None:
        self._shared = shared
        self._tls = tls
        self._client = client
        self._handed_over = False
        """Whether the connection is the loop's to close."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        peer = transport.get_extra_info("peername")
        if peer is not None and self._shared.has_room:
            with suppress(OSError):  # no descriptor is free
                self._begin(os.dup(transport.get_extra_info("socket").fileno()))
        elif peer is not None:  # nothing can be said before TLS is spoken
            code = FaultCode.TOO_MANY_CONNECTIONS
            self._shared.failed(self._shared.new_request_id(), 0, code, str(peer[0]))
        cast(asyncio.Transport, transport).abort()

    def _begin(self, descriptor: int) -> None:
        connection = socket.socket(fileno=descriptor)
        connection.setblocking(False)
        task = asyncio.get_running_loop().create_task(self._negotiate(connection))
        self._shared.handshakes.add(task)
        task.add_done_callback(partial(self._settled, connection))

    async def _negotiate(self, connection: socket.socket) -> None:
        """What TLS takes is many times what a connection does: none of it before there is a hello."""
        with suppress(OSError):  # ssl.SSLError and TimeoutError are among them
            async with asyncio.timeout(self._shared.limits.head_seconds):
                if await _hello(connection):
                    self._handed_over = True
                    await asyncio.get_running_loop().connect_accepted_socket(
                        self._successor, connection, ssl=self._tls
                    )

    def _successor(self) -> asyncio.BaseProtocol:
        return cast(asyncio.BaseProtocol, self._client)  # it has what asyncio calls

    def _settled(self, connection: socket.socket, task: asyncio.Task[None]) -> None:
        self._shared.handshakes.discard(task)
        if not self._handed_over:
            connection.close()


async def _hello(connection: socket.socket) -> bool:
    """Wait for the whole of the first record of a handshake (RFC 8446 §5.1). False: it does not come.

    It stays in the kernel, which wakes us when there is enough of it.
    """
    head = await _peek(connection, _RECORD_HEAD_BYTES)
    if len(head) < _RECORD_HEAD_BYTES or head[0] != _HANDSHAKE:
        return False
    size = _RECORD_HEAD_BYTES + int.from_bytes(head[3:], "big")
    return size <= _MOST_BYTES and len(await _peek(connection, size)) == size


async def _peek(connection: socket.socket, size: int) -> bytes:
    """So many bytes, or fewer if no more come; they can still be read."""
    loop, came = asyncio.get_running_loop(), asyncio.Event()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, size)
    loop.add_reader(connection, came.set)
    try:
        await came.wait()
    finally:
        loop.remove_reader(connection)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
    return connection.recv(size, socket.MSG_PEEK)
