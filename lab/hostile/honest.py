"""Honest clients beside the hostile ones, and somebody who asks whether the sidecar lives."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final

CLIENTS: Final = 5
PAUSE_SECONDS: Final = 0.1
"""Between the beginnings of two requests of one client: 50 requests a second in all."""
PATIENCE_SECONDS: Final = 10.0
LIVE_PAUSE_SECONDS: Final = 0.25
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)

Peer = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(slots=True)
class Noticed:
    """What honest clients noticed."""

    seconds: list[float] = field(default_factory=list)
    """How long each right answer took."""
    failures: list[str] = field(default_factory=list)
    lives: int = 0
    dead: int = 0
    """How often nobody said so in time."""

    def quantile(self, share: float) -> float:
        """In seconds; endless where nothing was answered."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("inf")


class Honest:
    """While it is entered, honest clients send permitted changes at a steady pace over a few connections."""

    def __init__(self, port: int, admin_port: int, token: str) -> None:
        self.noticed = Noticed()
        self._port = port
        self._admin_port = admin_port
        self._request = (
            f"PATCH /students/1/ HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
            "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
        ).encode()
        self._done = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def __enter__(self) -> Noticed:
        self._thread.start()
        return self.noticed

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._ask_for_life())
            for number in range(CLIENTS):
                tasks.create_task(self._work(number * PAUSE_SECONDS / CLIENTS))

    async def _work(self, delay: float) -> None:
        await asyncio.sleep(delay)
        peer: Peer | None = None
        while not self._done.is_set():
            began = time.perf_counter()
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    peer = peer or await asyncio.open_connection("127.0.0.1", self._port)
                    peer[1].write(self._request)
                    status = await _status(peer[0])
            except (OSError, asyncio.IncompleteReadError) as error:
                status = type(error).__name__
            if status == "200":
                self.noticed.seconds.append(time.perf_counter() - began)
            else:
                self.noticed.failures.append(status)
                _drop(peer)
                peer = None
            await asyncio.sleep(max(0.0, began + PAUSE_SECONDS - time.perf_counter()))
        _drop(peer)

    async def _ask_for_life(self) -> None:
        while not self._done.is_set():
            peer: Peer | None = None
            status = ""
            with suppress(OSError, asyncio.IncompleteReadError):
                async with asyncio.timeout(PATIENCE_SECONDS):
                    peer = await asyncio.open_connection("127.0.0.1", self._admin_port)
                    peer[1].write(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
                    status = await _status(peer[0])
            _drop(peer)
            self.noticed.lives += status == "200"
            self.noticed.dead += status != "200"
            await asyncio.sleep(LIVE_PAUSE_SECONDS)


def _drop(peer: Peer | None) -> None:
    if peer is not None:
        peer[1].transport.abort()


async def _status(reader: asyncio.StreamReader) -> str:
    head = await reader.readuntil(b"\r\n\r\n")
    if length := _LENGTH.search(head):
        await reader.readexactly(int(length[1]))
    return head.split(b" ", 2)[1].decode("ascii")
