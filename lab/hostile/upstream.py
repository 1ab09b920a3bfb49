"""The service behind the sidecar: quick, but for what hostile clients ask of it.

    python -m lab.hostile.upstream PORT

`/slow` is never answered, `/large` with 2 MiB, `/socket/…` becomes a WebSocket that says nothing; everything
else is answered at once with what little there is to say, when the whole request is here.
"""

from __future__ import annotations

import asyncio
import re
import sys
from typing import Final

import uvloop

BLOCK: Final = bytes(64 * 1024)
LARGE_BLOCKS: Final = 32
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_SWITCH: Final = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serves one connection until the other side ends it."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            await _discard_body(reader, head)
            target = head.split(b" ", 2)[1]
            if target == b"/slow" or target.startswith(b"/socket/"):
                writer.write(b"" if target == b"/slow" else _SWITCH)
                while await reader.read(65_536):
                    pass
                break
            blocks = [BLOCK] * LARGE_BLOCKS if target == b"/large" else [b"{}"]
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % sum(map(len, blocks)))
            for block in blocks:
                writer.write(block)
                await writer.drain()
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
        pass
    writer.close()


async def _discard_body(reader: asyncio.StreamReader, head: bytes) -> None:
    if b"\r\nTransfer-Encoding: chunked\r\n" in head:
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            await reader.readexactly(size + 2)
        while await reader.readuntil(b"\r\n") != b"\r\n":
            pass
    elif length := _LENGTH.search(head):
        left = int(length[1])
        while left:
            left -= len(await reader.readexactly(min(left, 65_536)))


async def serve(port: int) -> None:
    server = await asyncio.start_server(answer, "127.0.0.1", port, backlog=1024, limit=256 * 1024)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
