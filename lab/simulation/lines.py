"""What stands in for the sockets between the processes of one sidecar: lines, and where their ends are found.

What one end writes arrives at the other in order, in other pieces, after a moment; a process that is frozen
leaves it unread. When a process ends, its lines do.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

from authz_sidecar.core.errors import Unavailable
from lab.simulation.scheduler import ProcessLoop, Scheduler

MOMENT = 5e-5
"""Seconds from one process of a machine to another."""
CALLS = 10
"""Lines that wait for a follower, at most."""


class Lines:
    """Those of one sidecar. `lag`: up to so many seconds more until what was written is read."""

    def __init__(self, scheduler: Scheduler, random: Random) -> None:
        self.scheduler = scheduler
        self.random = random
        self.lag = 0.0
        self.ends: dict[End, None] = {}

    def cut(self) -> None:
        for end in tuple(self.ends):
            end.abort()

    def left(self, loop: ProcessLoop) -> None:
        """That process is no more."""
        for end in [each for each in self.ends if each.loop is loop]:
            end.vanish()


class Rendezvous:
    """Stands in for `feed.rendezvous.Rendezvous`: it outlives every process of a sidecar."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._waiting: deque[End] = deque()
        self._called: Callable[[], object] | None = None

    def fileno(self) -> Any:
        """What a process's event loop can watch."""
        return self

    def watch(self, called: Callable[[], object] | None) -> None:
        self._called = called
        if called is not None and self._waiting:
            called()

    def call(self) -> End:
        if len(self._waiting) >= CALLS:
            raise Unavailable("no follower answers")
        ours, theirs = End(self._lines), End(self._lines)
        ours.other, theirs.other = theirs, ours
        self._waiting.append(theirs)
        if self._called is not None:
            self._called()
        return ours

    def answer(self) -> End | None:
        return self._waiting.popleft() if self._waiting else None


class End(asyncio.Transport):
    """One end of a line: the transport of whoever has it."""

    other: End

    def __init__(self, lines: Lines) -> None:
        super().__init__()
        self.loop: ProcessLoop | None = None
        self._lines = lines
        self._protocol: asyncio.Protocol | None = None
        self._inbox: deque[bytes | None] = deque()
        """What has arrived and is not yet read; `None`: the other end is no more."""
        self._reads = False
        self._arrives_at = 0.0
        self._unread = 0
        self._ended = False
        lines.ends[self] = None

    def attach(self, loop: ProcessLoop, protocol: asyncio.Protocol) -> None:
        """It is this process's now."""
        self.loop, self._protocol = loop, protocol
        protocol.connection_made(self)
        self._read_soon()

    # what a protocol calls

    def write(self, data: Any) -> None:
        if self._ended:
            return
        cut = self._lines.random.randrange(len(data) + 1)
        for piece in (data[:cut], data[cut:]):
            if piece:
                self._unread += len(piece)
                self._later(partial(self.other.arrive, piece))

    def get_write_buffer_size(self) -> int:
        return self._unread

    def is_closing(self) -> bool:
        return self._ended

    def abort(self) -> None:
        """Both ends learn it, and what has arrived is not read any more."""
        if not self._ended:
            self.vanish()
            self._inbox.clear()
            self.arrive(None)

    # what happens

    def arrive(self, data: bytes | None) -> None:
        if data is None or not self._ended:
            self._inbox.append(data)
            self._read_soon()

    def _read_soon(self) -> None:
        if self.loop is not None and self._inbox and not self._reads:
            self._reads = True
            self.loop.call_soon(self._read)

    def _read(self) -> None:
        """In the order in which it arrived."""
        self._reads = False
        while self._inbox and self._protocol is not None:
            data = self._inbox.popleft()
            if data is None:
                self._protocol.connection_lost(None)
            else:
                self.other.was_read(len(data))
                self._protocol.data_received(data)

    def was_read(self, size: int) -> None:
        self._unread -= size

    def vanish(self) -> None:
        """Whoever had it is no more."""
        if not self._ended:
            self._ended = True
            self._lines.ends.pop(self, None)
            self._later(self.other.lost)

    def lost(self) -> None:
        if not self._ended:
            self._ended = True
            self._lines.ends.pop(self, None)
            self.arrive(None)

    def _later(self, action: Callable[[], object]) -> None:
        lines = self._lines
        due = lines.scheduler.now + MOMENT + lines.random.uniform(0.0, lines.lag)
        self._arrives_at = max(due, self._arrives_at + 1e-6)
        lines.scheduler.at(self._arrives_at, action)
