"""Programs whose wall clock can be set while they run, by libfaketime (optional)."""

from __future__ import annotations

from pathlib import Path

from lab.stack.binaries import find
from lab.stack.process import Process

LIBRARY = "libfaketime.so.1"
CACHED_SECONDS = 1
"""A program notices within this time that its clock was set."""


class Clock:
    """The clock of one program, kept in a file that it reads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.set(0)

    def set(self, offset: float) -> None:
        """So many seconds from the machine's clock."""
        staged = self._path.with_suffix(".new")
        staged.write_text(f"{offset:+.3f}\n")
        staged.chmod(0o644)
        staged.replace(self._path)

    def attach(self, process: Process) -> None:
        """From its next start on. The monotonic clock stays true, as it does on a real machine."""
        process.argv[:0] = self._prefix()

    def detach(self, process: Process) -> None:
        """From its next start on, its clock is the machine's again."""
        del process.argv[: len(self._prefix())]

    def _prefix(self) -> list[str]:
        library = find(LIBRARY)
        if library is None:
            return []
        return [
            "env",
            f"LD_PRELOAD={library}",
            f"FAKETIME_TIMESTAMP_FILE={self._path}",
            f"FAKETIME_CACHE_DURATION={CACHED_SECONDS}",
            "FAKETIME_DONT_FAKE_MONOTONIC=1",
            "NO_FAKE_STAT=1",
        ]


def sweep() -> None:
    """Remove the shared memory that libfaketime leaves behind in programs that were killed."""
    for pattern in ("faketime_shm_*", "sem.faketime_sem_*"):
        for path in Path("/dev/shm").glob(pattern):  # noqa: S108 (where POSIX shared memory is)
            if not Path("/proc", path.name.rpartition("_")[2]).exists():
                path.unlink(missing_ok=True)
