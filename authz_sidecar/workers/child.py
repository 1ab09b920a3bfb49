"""One process of a sidecar of several, as its supervisor knows it."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import suppress

from authz_sidecar.workers.place import ABLE, STARTED
from authz_sidecar.workers.restarts import Restarts


class Child:
    """One process, or the one in its place."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.restarts = Restarts()
        self.pid: int | None = None
        self.due: float | None = 0.0
        """When it is to be started; `None` while it runs, or when no other follows."""
        self.socket: socket.socket | None = None
        self.started_at = 0.0
        self.heard_at = 0.0
        self.is_able = False
        """Whether it could serve."""
        self.has_started = False
        """Whether one has ever come so far as to serve."""
        self.silent = False
        self.replaces: str | None = None

    def started(self, pid: int, line: socket.socket, now: float) -> None:
        line.setblocking(False)
        self.pid, self.socket, self.due = pid, line, None
        self.silent = False
        self.started_at = self.heard_at = now

    def hear(self, now: float) -> bytes:
        """What it says; nothing when it has ended, or is about to."""
        said = b""
        with suppress(OSError):
            said = self.socket.recv(1024) if self.socket is not None else b""
        self.heard_at = now
        self.is_able = self.is_able or ABLE in said
        self.has_started = self.has_started or STARTED in said
        return said

    def tell(self, word: bytes) -> None:
        """Never waits."""
        with suppress(OSError):
            if self.socket is not None:
                self.socket.send(word)

    def send(self, number: signal.Signals) -> None:
        if self.pid is not None:
            os.kill(self.pid, number)

    def ended(self, status: int, now: float) -> int:
        """Its exit code, negative for a signal."""
        code = os.waitstatus_to_exitcode(status)
        self.pid, self.is_able = None, False
        self.replaces = f"the one before {_how(code, silent=self.silent)}"
        self.due = self.restarts.ended(now, self.started_at, silent=self.silent)
        return code


def _how(code: int, *, silent: bool) -> str:
    if silent:
        return "said nothing any more and was ended"
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"has ended with exit code {code}"
