"""Clients of whom each asks in turn on a connection that it keeps, and on a new one; in a process of its own.

It goes on until so many requests were answered and its standard input ends; then it prints JSON.

    python -m lab.bench.visitors HOST PORT REQUESTS FILE_OF_TOKENS
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

import uvloop

from lab import ROOT
from lab.bench import pace

VISITORS = 8
SILENCE_SECONDS = 30.0
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Visits:
    """`statuses` by text, as JSON has them. `seconds` of each answered request, and of its new connection."""

    statuses: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    """Of requests without an answer: what happened instead."""
    new: int = 0
    """How many had a connection of their own."""
    seconds: list[float] = field(default_factory=list)

    @property
    def requests(self) -> int:
        return self.statuses.total() + len(self.failures)

    @property
    def p99(self) -> float:
        return sorted(self.seconds)[int(0.99 * len(self.seconds))]


@contextmanager
def running(address: tuple[str, int], requests: int, tokens: Path) -> Iterator[Visits]:
    """While entered, and until there were so many requests. What became of them is known afterwards."""
    host, port = address
    argv = [sys.executable, "-m", "lab.bench.visitors", host, str(port), str(requests), str(tokens)]
    child = subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    visits = Visits()
    try:
        yield visits
    finally:
        output, _ = child.communicate()
    found = json.loads(output)
    visits.statuses.update(found["statuses"])
    visits.failures, visits.new, visits.seconds = found["failures"], found["new"], found["seconds"]


class Visitor:
    """One of them."""

    def __init__(self, address: tuple[str, int], visits: Visits) -> None:
        self._address = address
        self._visits = visits

    async def visit(self, messages: Iterator[bytes], over: threading.Event, requests: int) -> None:
        kept: Stream | None = None
        while self._visits.requests < requests or not over.is_set():
            request = next(messages)
            kept = await self._ask(request, kept)
            await self._ask(request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1), None)
            self._visits.new += 1

    async def _ask(self, request: bytes, kept: Stream | None) -> Stream | None:
        """The connection, unless the answer says that it ends."""
        began = time.perf_counter()
        try:
            async with asyncio.timeout(SILENCE_SECONDS):
                stream = kept or await asyncio.open_connection(*self._address)
                status, ends = await _answer(stream, request)
        except (OSError, EOFError) as error:
            self._visits.failures.append(repr(error))
            return None
        self._visits.seconds.append(time.perf_counter() - began)
        self._visits.statuses[status] += 1
        if not ends:
            return stream
        stream[1].close()
        return None


async def _answer(stream: Stream, request: bytes) -> tuple[str, bool]:
    """The status, and whether the connection ends with it."""
    reader, writer = stream
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = _LENGTH.search(head)
    await reader.readexactly(int(length[1]) if length else 0)
    return head[9:12].decode(), b"\r\nconnection: close\r\n" in head.lower()


def main(host: str, port: str, requests: str, tokens: str) -> None:
    messages = cycle(pace.messages(host, Path(tokens).read_text().split()))
    over, visits = threading.Event(), Visits()
    threading.Thread(target=_await_end, args=[over], daemon=True).start()

    async def run() -> None:
        visitors = [Visitor((host, int(port)), visits) for _ in range(VISITORS)]
        await asyncio.gather(*(visitor.visit(messages, over, int(requests)) for visitor in visitors))

    uvloop.run(run())
    json.dump(vars(visits), sys.stdout)


def _await_end(over: threading.Event) -> None:
    sys.stdin.read()
    over.set()


if __name__ == "__main__":
    main(*sys.argv[1:])
