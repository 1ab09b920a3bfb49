"""What all parts of the stack have in common: a port, files of their own, and a moment of readiness."""

from __future__ import annotations

import socket
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import ClassVar, Self

from lab import DEADLINE
from lab.stack.process import Process, free_port, wait_for
from lab.stack.signals import undisturbed


class Daemon:
    """One program that serves on a free loopback port; subclasses say which, and when it is ready.

    `stop` keeps the port and the data for a later `start`; leaving the `with` block removes them.
    """

    name: ClassVar[str]
    start_seconds: ClassVar[float] = DEADLINE
    stop_seconds: ClassVar[float] = 10

    def __init__(self) -> None:
        self.port = free_port()
        with undisturbed():  # a directory that nobody knows yet would stay
            self._files = TemporaryDirectory(prefix=f"{self.name}-", ignore_cleanup_errors=True)
        self.directory = Path(self._files.name)
        self._process: Process | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def log_path(self) -> Path:
        return self.directory / f"{self.name}.log"

    @property
    def process(self) -> Process:
        """Made when it is first needed, from what `prepare` left behind."""
        if self._process is None:
            self.prepare()
            self._process = self.make_process()
        return self._process

    def prepare(self) -> None:
        """Writes what the program needs before its first start."""

    def make_process(self) -> Process:
        raise NotImplementedError

    def ready(self) -> object:
        """True when the program does its work; an `OSError` means not yet."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True

    def start(self) -> Self:
        try:
            self.process.start()
            wait_for(self.ready, self.start_seconds, f"start of {self.name}", self.process)
        except BaseException:
            self.close()
            raise
        return self

    def stop(self) -> None:
        if self._process is not None:
            self._process.stop(self.stop_seconds)

    def kill(self) -> None:
        self.process.kill()

    def suspend(self) -> None:
        self.process.suspend()

    def resume(self) -> None:
        self.process.resume()

    def restart(self) -> None:
        self.stop()
        self.start()

    def replace(self) -> None:
        """Another is started and takes over from this one; returns when this one has ended."""
        older, self._process = self.process, self.make_process()
        try:
            self._process.start()
            wait_for(
                lambda: not older.alive, self.start_seconds, f"end of the older {self.name}", self._process
            )
        finally:
            older.kill()

    def close(self) -> None:
        self.stop()
        self._files.cleanup()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
