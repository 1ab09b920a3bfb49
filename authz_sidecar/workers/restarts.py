"""When a process that has ended is started again, and when a silent one is given up. In seconds."""

from __future__ import annotations

from typing import Final

STEADY_SECONDS: Final = 10.0
"""Who has lived for so long is replaced at once."""
FIRST_DELAY, LAST_DELAY = 0.1, 5.0
FIRST_PATIENCE, LAST_PATIENCE = 1.5, 60.0


class Restarts:
    """Of one process. It waits longer each time for one that dies soon, or is soon silent."""

    def __init__(self) -> None:
        self.patience = FIRST_PATIENCE
        """Seconds of silence after which it is taken for dead."""
        self._delay = 0.0

    def ended(self, now: float, started_at: float, *, silent: bool = False) -> float:
        """When the next one is to be started. `silent`: it was given up for that."""
        if now - started_at >= STEADY_SECONDS + self.patience:
            self._delay, self.patience = 0.0, FIRST_PATIENCE
        if silent:
            self.patience = min(2 * self.patience, LAST_PATIENCE)
        due = now + self._delay
        self._delay = min(max(FIRST_DELAY, 2 * self._delay), LAST_DELAY)
        return due
