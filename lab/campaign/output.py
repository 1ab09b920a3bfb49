"""What a sidecar writes to its standard output: read from a pipe, which can be blocked, into a file."""

from __future__ import annotations

import array
import fcntl
import os
import select
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Lock, Thread

from lab import DEADLINE
from lab.stack.process import wait_for

READ_BYTES = 65_536
TICK_SECONDS = 0.05


class Output:
    """Reads the pipe at `pipe` and appends what comes to the file at `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.pipe = path.with_suffix(".pipe")
        os.mkfifo(self.pipe)
        # For writing, too: so it does not end when a sidecar does.
        self._descriptor = os.open(self.pipe, os.O_RDWR | os.O_NONBLOCK)
        self._flowing, self._closing, self._between = Event(), Event(), Lock()
        self._flowing.set()
        path.touch()
        self._thread = Thread(target=self._run, name=f"output of {path.name}", daemon=True)
        self._thread.start()

    @contextmanager
    def blocked(self) -> Iterator[None]:
        """Nobody reads meanwhile."""
        self._flowing.clear()
        try:
            yield
        finally:
            self._flowing.set()

    def drain(self) -> None:
        """Wait until everything that was written is in the file."""
        wait_for(lambda: not self._unread(), DEADLINE, f"{self.path.name} to be written")

    def close(self) -> None:
        self._closing.set()
        self._thread.join()
        os.close(self._descriptor)

    def _unread(self) -> int:
        size = array.array("i", [0])
        with self._between:
            fcntl.ioctl(self._descriptor, termios.FIONREAD, size)
        return size[0]

    def _run(self) -> None:
        with self.path.open("ab", buffering=0) as file:
            while not self._closing.is_set():
                if not self._flowing.wait(TICK_SECONDS):
                    continue
                if select.select([self._descriptor], [], [], TICK_SECONDS)[0]:
                    with self._between:
                        file.write(os.read(self._descriptor, READ_BYTES))
