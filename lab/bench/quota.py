"""Holds programs to a part of a core, by the kernel's control groups of either version (cgroups(7))."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

UNIFIED: Final = Path("/sys/fs/cgroup")
CPU: Final = Path("/sys/fs/cgroup/cpu")
"""Where version 1 has the controller."""
PERIOD_MICROSECONDS: Final = 20_000


class NoControlGroups(Exception):
    """This machine lets nobody be held to a part of a core."""


@contextmanager
def held(pid: int, share: float) -> Iterator[None]:
    """This process, with all of its threads, gets at most so much of a core. Raises NoControlGroups."""
    group = _make(f"bench-{os.getpid()}-{pid}", int(share * PERIOD_MICROSECONDS))
    try:
        _write(group / "cgroup.procs", str(pid))
        yield
    finally:
        with suppress(NoControlGroups):  # it has ended
            _write(group.parent / "cgroup.procs", str(pid))
        group.rmdir()


def _make(name: str, microseconds: int) -> Path:
    unified = (UNIFIED / "cgroup.controllers").exists()
    group = (UNIFIED if unified else CPU) / name
    if unified:
        _write(UNIFIED / "cgroup.subtree_control", "+cpu")
    try:
        group.mkdir()
    except OSError as error:
        raise NoControlGroups(f"no control group can be made: {error}") from error
    if unified:
        _write(group / "cpu.max", f"{microseconds} {PERIOD_MICROSECONDS}")
    else:
        _write(group / "cpu.cfs_period_us", str(PERIOD_MICROSECONDS))
        _write(group / "cpu.cfs_quota_us", str(microseconds))
    return group


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError as error:
        raise NoControlGroups(f"a control group cannot be used: {error}") from error
