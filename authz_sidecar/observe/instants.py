"""How every log writes a time: RFC 3339 in UTC with microseconds, as revisions have it."""

from __future__ import annotations

import time


class Instants:
    """Turns Unix seconds into text. Of most all but the microseconds is known from the one before."""

    def __init__(self) -> None:
        self._second = -1
        self._text = ""

    def text(self, at: float) -> str:
        """For example `2026-11-22T09:00:00.000000Z`."""
        second = int(at)
        if second != self._second:
            self._second = second
            self._text = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(second))
        return f"{self._text}{millionths(at - second)}Z"


def decimal(seconds: float) -> str:
    """A duration, not negative, as a JSON number with six decimals."""
    whole = int(seconds)
    return f"{whole}.{millionths(seconds - whole)}"


def millionths(fraction: float) -> str:
    """The six digits of a fraction of a second; what is smaller is cut off."""
    return str(1_000_000 + int(fraction * 1e6))[1:]
