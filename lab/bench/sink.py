"""An upstream for large bodies: reads an upload to its end before it answers, and sends as much as asked.

    python -m lab.bench.sink PORT

`POST /anything` is answered 201 with the number of body bytes received; `GET /bytes/N` with N bytes.
"""

from __future__ import annotations

import asyncio
import re
import sys

import uvloop

BLOCK = bytes(256 * 1024)
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serves one connection until the other side ends it."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            method, target, _ = head.split(b" ", 2)
            received = await _discard(reader, head)
            if method == b"GET":
                await _send(writer, int(target.rpartition(b"/")[2]))
            else:
                body = b"%d" % received
                writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def _discard(reader: asyncio.StreamReader, head: bytes) -> int:
    length = _LENGTH.search(head)
    expected, received = int(length[1]) if length else 0, 0
    while received < expected:
        received += len(await reader.read(min(len(BLOCK), expected - received)))
    return received


async def _send(writer: asyncio.StreamWriter, size: int) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
    for _ in range(size // len(BLOCK)):
        writer.write(BLOCK)
        await writer.drain()
    writer.write(BLOCK[: size % len(BLOCK)])


async def serve(port: int) -> None:
    server = await asyncio.start_server(answer, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
