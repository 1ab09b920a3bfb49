"""Lines on their way out, in a queue that is bounded in bytes: whoever has something to tell never waits."""

from __future__ import annotations

from queue import SimpleQueue
from threading import RLock
from typing import Final

MAX_BYTES: Final = 4 * 1024 * 1024
LINE_OVERHEAD: Final = 64
"""What a line takes in memory beside its characters."""


class LineQueue:
    """Filled by any thread, at any moment, emptied by the one that writes; counts what it has to drop.

    A destructor may run between any two steps of its thread and have something to log. So the lock lets
    the thread that holds it in again, and the wake-up call is a queue that promises the same.
    """

    def __init__(self, wake: SimpleQueue[None], max_bytes: int = MAX_BYTES) -> None:
        """`wake` gets an item when there is something to take; not one for each line."""
        self.dropped = 0
        """Lines lost so far, whether they did not fit or could not be written."""
        self._wake = wake
        self._max_bytes = max_bytes
        self._lock = RLock()
        self._lines: list[str] = []
        self._held = 0
        """Bytes of memory of all that was put and is not yet written."""
        self._waiting = 0
        self._called = False

    @property
    def waiting(self) -> int:
        """How many lines are put and not yet written."""
        return self._waiting

    def put(self, line: str) -> None:
        """Queue a line, its end included. Never blocks; beyond the bound the line is lost."""
        size = _size(line)
        with self._lock:
            if self._held + size > self._max_bytes:
                self.dropped += 1
                return
            self._held += size
            self._waiting += 1
            self._lines.append(line)
            if self._called:
                return
            self._called = True
        self._wake.put(None)

    def take(self) -> list[str]:
        """What is queued. It counts against the bound until `written` says what became of it."""
        with self._lock:
            taken, self._lines, self._called = self._lines, [], False
        return taken

    def written(self, lines: list[str], lost: int) -> None:
        """Lines that were taken are out of memory; `lost` of them never got out."""
        size = sum(map(_size, lines))
        with self._lock:
            self._held -= size
            self._waiting -= len(lines)
            self.dropped += lost


def _size(line: str) -> int:
    characters = len(line)
    return (characters if line.isascii() else 4 * characters) + LINE_OVERHEAD
