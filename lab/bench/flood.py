"""Far more requests than a proxy can answer: pipelined, sent when due, whatever has been answered."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import cast

import uvloop

from lab.stack.process import StackError

TICK_SECONDS = 0.01
CONNECTIONS = 64
UNANSWERED_MOST = 128
"""A connection with so many requests under way sends no more: its client gives those up."""
DRAIN_SECONDS = 60.0
_ANSWER = re.compile(rb"HTTP/1\.1 (\d{3})[^\r]*\r\n(?:[^\r]+\r\n)*?content-length: *(\d+)\r\n", re.IGNORECASE)


@dataclass(frozen=True)
class Question:
    """A request, and the status that is the only right answer (503 apart)."""

    message: bytes
    right: int


@dataclass
class Flood:
    """What became of the requests."""

    due: int = 0
    sent: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    wrong: int = 0
    again: int = 0
    """Sent after the last request of a connection whose end the proxy had announced."""
    broken: int = 0
    """Never answered, without a word."""
    sending_seconds: float = 0.0
    drained_seconds: float = 0.0
    """From the last request to the last answer."""


class Client(asyncio.Protocol):
    """One connection. Answers come in the order of the questions."""

    def __init__(self, questions: Iterator[Question], flood: Flood) -> None:
        self._questions = questions
        self._flood = flood
        self._waiting: deque[int] = deque()
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None
        self._announced = False
        """Whether the proxy has said that it will close the connection."""

    @property
    def connected(self) -> bool:
        return self._transport is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._announced = False

    def connection_lost(self, exc: Exception | None) -> None:
        """What was sent after an announced end was not looked at and may be sent again (RFC 9112 §9.3.2)."""
        if self._announced:
            self._flood.again += len(self._waiting)
        else:
            self._flood.broken += len(self._waiting)
        self._waiting.clear()
        self._received.clear()
        self._transport = None

    @property
    def unanswered(self) -> int:
        return len(self._waiting)

    def send(self, count: int) -> None:
        room = UNANSWERED_MOST - len(self._waiting)
        if self._transport is None or self._announced or room <= 0:
            return
        questions = [next(self._questions) for _ in range(min(count, room))]
        self._waiting.extend(question.right for question in questions)
        self._flood.sent += len(questions)
        self._transport.write(b"".join(question.message for question in questions))

    def data_received(self, data: bytes) -> None:
        received = self._received
        received += data
        position = 0
        while found := _ANSWER.match(received, position):
            end = received.find(b"\r\n\r\n", found.end() - 2) + 4
            if end < 4 or end + int(found[2]) > len(received):
                break
            self._announced = b"connection: close" in received[position:end].lower()
            position = end + int(found[2])
            self._answered(int(found[1]))
        del received[:position]

    def _answered(self, status: int) -> None:
        self._flood.statuses[status] += 1
        if status not in (self._waiting.popleft(), 503):
            self._flood.wrong += 1

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


def run(address: tuple[str, int], questions: Iterator[Question], rate: float, seconds: float) -> Flood:
    """Sends at `rate` for `seconds`, then waits for what is still to be answered."""
    return uvloop.run(_run(address, questions, rate, seconds))


async def _run(address: tuple[str, int], questions: Iterator[Question], rate: float, seconds: float) -> Flood:
    flood = Flood()
    clients = [Client(questions, flood) for _ in range(CONNECTIONS)]
    start = time.monotonic()
    while (elapsed := time.monotonic() - start) < seconds:
        await _connect(clients, address)
        missing = int(elapsed * rate) - flood.due
        flood.due += missing
        for index, client in enumerate(clients):
            client.send(missing // CONNECTIONS + (index < missing % CONNECTIONS))
        await asyncio.sleep(TICK_SECONDS)
    flood.sending_seconds = time.monotonic() - start
    await _drain(clients)
    flood.drained_seconds = time.monotonic() - start - flood.sending_seconds
    for client in clients:
        client.close()
    if not flood.statuses:
        raise StackError("a flood of requests was not answered at all")
    return flood


async def _connect(clients: Sequence[Client], address: tuple[str, int]) -> None:
    """Those that are not, or no longer."""
    loop = asyncio.get_running_loop()
    for client in clients:
        if not client.connected:
            await loop.create_connection(lambda: client, *address)  # noqa: B023 (called at once)


async def _drain(clients: Sequence[Client]) -> None:
    ends = time.monotonic() + DRAIN_SECONDS
    while unanswered := sum(client.unanswered for client in clients):
        if time.monotonic() > ends:
            raise StackError(f"{unanswered} requests were not answered in {DRAIN_SECONDS:g} s")
        await asyncio.sleep(TICK_SECONDS)
