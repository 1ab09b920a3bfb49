"""The network: links between a process and a service, and connections over them, in the manner of TCP.

What was sent over one connection arrives in order or not at all. A link can refuse, be slow, or hold up
one or both directions; what it held up arrives late, or the connection ends.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from lab.simulation.scheduler import Scheduler

OUT, IN = 0, 1
"""From the process to the service, and back."""
NEXT = 1e-6
"""Seconds between what arrives in order."""

Action = Callable[[], object]


class Link:
    """What one process and one service have between them. Times in seconds."""

    def __init__(self, scheduler: Scheduler, random: Random, latency: float) -> None:
        self.scheduler = scheduler
        self.latency = latency
        self.extra = (0.0, 0.0)
        """Delay on top, drawn between these."""
        self.refuses = False
        self.blocked = [False, False]
        self.blocked_since = 0.0
        self.connections: dict[Connection, None] = {}
        self.troubled_until = float("-inf")
        """`inf` while something is wrong with it."""
        self._random = random

    def delay(self) -> float:
        draw = self._random.random()
        delay = self.latency * (0.5 + draw + (8.0 * draw if draw > 0.98 else 0.0))
        low, high = self.extra
        return delay + (self._random.uniform(low, high) if high else 0.0)

    def cut(self) -> None:
        """Every connection ends, and none can be made."""
        self.refuses = True
        self.reset()

    def block(self, directions: tuple[bool, bool]) -> None:
        self.blocked = list(directions)
        self.blocked_since = self.scheduler.now
        for connection in tuple(self.connections):
            connection.release()

    def heal(self, *, lost: bool) -> None:
        """All is well again. `lost`: connections that were held up end."""
        self.refuses, self.extra = False, (0.0, 0.0)
        was_blocked, self.blocked = any(self.blocked), [False, False]
        if was_blocked and lost:
            self.reset()
        for connection in tuple(self.connections):
            connection.release()

    def reset(self) -> None:
        for connection in tuple(self.connections):
            connection.reset()


class Connection:
    """One connection; `on_reset` is called when it ends by no will of ours."""

    def __init__(self, link: Link, on_reset: Action) -> None:
        self.link = link
        self.open = True
        self._on_reset = on_reset
        self._last = [0.0, 0.0]
        self._held: tuple[list[Action], list[Action]] = ([], [])
        link.connections[self] = None

    def send(self, direction: int, action: Action) -> None:
        """Have `action` happen at the other end, after what was sent before."""
        link = self.link
        if not self.open:
            return
        if link.blocked[direction]:
            self._held[direction].append(action)
            return
        arrival = max(link.scheduler.now + link.delay(), self._last[direction] + NEXT)
        self._last[direction] = arrival
        link.scheduler.at(arrival, lambda: self._arrive(action))

    def _arrive(self, action: Action) -> None:
        if self.open:
            action()

    def release(self) -> None:
        """Send what was held up."""
        for direction in (OUT, IN):
            held = self._held[direction][:]
            self._held[direction].clear()
            for action in held:
                self.send(direction, action)

    def close(self) -> None:
        """By our own will."""
        self.open = False
        self.link.connections.pop(self, None)

    def reset(self) -> None:
        if self.open:
            self.close()
            self._on_reset()
