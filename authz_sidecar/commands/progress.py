"""How far a long reading has come, on a terminal and nowhere else."""

from __future__ import annotations

import sys
import time
from typing import Final, TextIO

SHOWN_EVERY: Final = 0.2
WIDTH: Final = 30


class Progress:
    """A bar on one line of a terminal, which goes when it is finished."""

    def __init__(self, what: str, whole: int, stream: TextIO | None = None) -> None:
        """`whole`: bytes to read; 0 where nobody knows."""
        self._what = what
        self._whole = whole
        self._stream = stream or sys.stderr
        self._on = self._stream.isatty()
        self._began = self._next = time.monotonic()

    def at(self, done: int, lines: int) -> None:
        """So much is read. Cheap enough to be called often."""
        if not self._on:
            return
        now = time.monotonic()
        if now >= self._next:
            self._next = now + SHOWN_EVERY
            self._stream.write(f"\r\x1b[K{self.text(done, lines, now - self._began)}")
            self._stream.flush()

    def text(self, done: int, lines: int, seconds: float) -> str:
        """What is shown after so many seconds."""
        if not self._whole:
            return f"{self._what}: {lines:,} lines"
        share = min(done / self._whole, 1.0)
        filled = int(share * WIDTH)
        left = f", {seconds / share - seconds:.0f} s left" if share > 0.01 else ""
        bar = "█" * filled + "░" * (WIDTH - filled)
        return f"{self._what} {bar} {share:4.0%}, {lines:,} lines{left}"

    def end(self) -> None:
        if self._on:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
