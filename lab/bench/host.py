"""The machine: which core does what, and what the kernel says that a program used."""

from __future__ import annotations

import gc
import os
import platform
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from lab.stack.process import Process

MIB = 1024 * 1024


@dataclass(frozen=True)
class Cores:
    """The proxy under test has a core of its own; everything else shares the other."""

    proxy: int
    rest: int


def claim_cores() -> Cores:
    """Moves this process, and with it all that it starts, off the proxy's core."""
    available = sorted(os.sched_getaffinity(0))
    if len(available) < 2:
        raise SystemExit("The bench needs two cores: one for the proxy and one for everything else.")
    cores = Cores(proxy=available[1], rest=available[0])
    os.sched_setaffinity(0, {cores.rest})
    return cores


def pinned(cores: Cores, argv: Iterable[str | Path]) -> list[str | Path]:
    return ["taskset", "--cpu-list", str(cores.proxy), *argv]


@contextmanager
def foremost() -> Iterator[str]:
    """This thread runs whenever it has something to do, as far as the kernel lets it; how far it does.

    Who measures on a busy core would else measure when it was its turn. Nothing may be started meanwhile.
    """
    policy, nice = os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0)
    gc.disable()
    try:
        yield _prefer_this_thread()
    finally:
        gc.enable()
        os.sched_setscheduler(0, policy, os.sched_param(0))
        os.setpriority(os.PRIO_PROCESS, 0, nice)


def _prefer_this_thread() -> str:
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        return "real time"
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, -20)
        return "nice -20"
    return "like everybody else"


def cpu_seconds(process: Process) -> float:
    """CPU time of all live threads of a program and of its children, user and system."""
    nanoseconds = 0
    for pid in process.pids():
        for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            with suppress(OSError):  # the thread has ended
                nanoseconds += int(path.read_text().split()[0])
    return nanoseconds / 1e9


def memory_bytes(process: Process) -> int:
    """Proportional set size: what is shared by several processes of a program counts once."""
    kilobytes = 0
    for pid in process.pids():
        with suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    kilobytes += int(line.split()[1])
    return kilobytes * 1024


def stolen_seconds() -> float:
    """CPU time that the hypervisor gave to somebody else, on all cores since boot."""
    fields = Path("/proc/stat").read_text().splitlines()[0].split()
    return int(fields[8]) / os.sysconf("SC_CLK_TCK")


def busy_share(seconds: float = 1.0) -> float:
    """How much of all cores is in use right now, from 0 to 1."""
    used, total = _ticks()
    time.sleep(seconds)
    used_later, total_later = _ticks()
    return (used_later - used) / max(1, total_later - total)


def _ticks() -> tuple[int, int]:
    """Ticks in use and all ticks, on all cores since boot."""
    user, nice, system, idle, waiting, *rest = map(
        int, Path("/proc/stat").read_text().split("\n")[0].split()[1:9]
    )
    used = user + nice + system + sum(rest)
    return used, used + idle + waiting


def description() -> dict[str, str]:
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return {
        "cpu": models[0] if models else platform.processor(),
        "cores": str(len(models)),
        "kernel": platform.release(),
        "python": f"{platform.python_version()}, {platform.python_compiler()}",
    }


def first_line(*argv: str | Path) -> str:
    """What a program says of its version."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    lines = (done.stdout + done.stderr).strip().splitlines()
    return lines[0].strip() if lines else "unknown"
