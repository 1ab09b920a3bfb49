"""The clocks of one host, which run at a rate of their own and can be set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

WALL_BASE = 1_767_225_600.0
"""Where wall clocks begin: 2026-01-01T00:00:00Z."""


class Time(Protocol):
    """The world's time, in seconds."""

    @property
    def now(self) -> float: ...


class HostClock:
    """Implements `core.ports.Clock`.

    `rate`: seconds it counts in one true second; `offset`: its wall clock's error.
    """

    def __init__(self, world: Time, rate: float = 1.0, offset: float = 0.0) -> None:
        self._world = world
        self._since = world.now
        self._base = 1_000.0
        self.rate = rate
        self.offset = offset
        self.changed: list[Callable[[], None]] = []
        """Called when the rate has changed: timers fall due at other instants of the world."""

    def monotonic(self) -> float:
        return self._base + (self._world.now - self._since) * self.rate

    def wall(self) -> float:
        return WALL_BASE + self.monotonic() + self.offset

    def world_time(self, monotonic: float) -> float:
        """The instant of the world at which this clock will show that."""
        return self._since + (monotonic - self._base) / self.rate

    def run_at(self, rate: float) -> None:
        """Run at another rate from now on."""
        self._base, self._since, self.rate = self.monotonic(), self._world.now, rate
        for call in self.changed:
            call()

    def step(self, seconds: float) -> None:
        """Set the wall clock; the monotonic one takes no notice."""
        self.offset += seconds
