"""Open-loop load: requests at a fixed rate, each timed from the moment when it was due.

Timing from the due moment is what keeps a slow proxy from hiding its delays behind requests that
were then sent late (coordinated omission).
"""

from __future__ import annotations

import re
import socket
import statistics
import time
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from http import HTTPStatus
from select import select

from lab.bench.load import BODY, TARGET
from lab.stack.process import StackError

READ_BYTES = 64 * 1024
SILENCE_SECONDS = 10.0
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


@dataclass
class Paced:
    """Seconds from due to answered of each request, and the statuses answered."""

    latencies: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)

    @property
    def p50(self) -> float:
        return statistics.median(self.latencies)

    @property
    def p99(self) -> float:
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]


class Connection:
    """One keep-alive connection with at most one request under way."""

    def __init__(self, host: str, port: int) -> None:
        self.socket = socket.create_connection((host, port), timeout=SILENCE_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.due = 0.0
        self.head = b""
        """Of the newest answer."""
        self._received = b""

    def fileno(self) -> int:
        return self.socket.fileno()

    def close(self) -> None:
        self.socket.close()

    def send(self, request: bytes, due: float) -> None:
        self.due = due
        self._received = b""
        self.socket.sendall(request)

    def receive(self) -> int | None:
        """The status, once the whole answer is here."""
        data = self.socket.recv(READ_BYTES)
        if not data:
            raise StackError("the proxy closed a connection in the middle of a request")
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator:
            return None
        self.head, status = head, int(head[9:12])
        length = _LENGTH.search(head + b"\r\n")
        if length is None and status != HTTPStatus.NO_CONTENT:
            raise StackError(f"an answer without Content-Length: {head!r}")
        return status if length is None or len(body) >= int(length[1]) else None


def run(
    address: tuple[str, int], requests: Sequence[bytes], rate: float, seconds: float, connections: int = 32
) -> Paced:
    """Raises StackError when the proxy breaks off or falls silent."""
    with ExitStack() as stack:
        opened = [stack.enter_context(closing(Connection(*address))) for _ in range(connections)]
        return _run(deque(opened), requests, rate, int(rate * seconds))


def _run(idle: deque[Connection], requests: Sequence[bytes], rate: float, total: int) -> Paced:
    busy: set[Connection] = set()
    paced, sent = Paced(), 0
    start = time.perf_counter()
    while len(paced.latencies) < total:
        now = time.perf_counter()
        while idle and sent < total and (due := start + sent / rate) <= now:
            connection = idle.popleft()
            connection.send(requests[sent % len(requests)], due)
            busy.add(connection)
            sent += 1
        wait = max(0.0, start + sent / rate - now) if idle and sent < total else SILENCE_SECONDS
        ready = select(busy, (), (), wait)[0]
        if not ready and wait == SILENCE_SECONDS:
            raise StackError(f"no answer for {SILENCE_SECONDS:g} s")
        for connection in ready:
            _collect(connection, paced, idle, busy)
    return paced


def _collect(connection: Connection, paced: Paced, idle: deque[Connection], busy: set[Connection]) -> None:
    status = connection.receive()
    if status is None:
        return
    paced.latencies.append(time.perf_counter() - connection.due)
    paced.statuses[status] += 1
    busy.remove(connection)
    idle.append(connection)


def messages(host: str, tokens: Sequence[str], body: str = BODY) -> list[bytes]:
    """The same request as the closed loop's, with each token."""
    return [
        (
            f"POST {TARGET} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        ).encode()
        for token in tokens
    ]
