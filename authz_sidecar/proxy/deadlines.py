"""Timeouts by one coarse sweep instead of a timer per request."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from math import inf
from typing import Final, Generic, Protocol, TypeVar

from authz_sidecar.core.ports import Clock

SWEEP_SECONDS: Final = 0.25
NEVER: Final = inf
ANSWER_GRACE_SECONDS: Final = 0.05
"""What an answer that has begun may still take when its permission is gone."""


class Expiring(Protocol):
    """Something that must not wait beyond `deadline` (monotonic seconds)."""

    deadline: float

    def expire(self) -> None:
        """The deadline has passed."""


E = TypeVar("E", bound=Expiring)


class Sweep(Generic[E]):
    """Looks at all deadlines a few times a second: setting one costs an assignment and no clock."""

    def __init__(self, expiring: Iterable[E], clock: Clock) -> None:
        self._expiring = expiring
        self._clock = clock
        self._timer: asyncio.TimerHandle | None = None
        self._next = 0.0

    def deadline(self, seconds: float) -> float:
        """The instant `seconds` from now, up to one sweep later."""
        return self._next + seconds

    def start(self) -> None:
        """Begin, unless it runs."""
        if self._timer is None:
            self._next = self._clock.monotonic() + SWEEP_SECONDS
            self._timer = asyncio.get_running_loop().call_later(SWEEP_SECONDS, self._sweep)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _sweep(self) -> None:
        self._timer = None
        self.start()
        now = self._next - SWEEP_SECONDS
        for late in [each for each in self._expiring if each.deadline < now]:
            late.expire()
