"""A sidecar whose surroundings fail it: its log, its descriptors, its clients."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from random import Random

from lab import ROOT
from lab.campaign.system import System
from lab.hostile.clients import Order

HOSTILE = (
    "says nothing",
    "half a request line",
    "a head a byte at a time",
    "a head that never ends",
    "long targets",
    "large tokens",
    "unknown keys",
    "many refusals in a row",
    "refusals that nobody reads",
    "half a request, and half closed",
    "noise",
)
"""Kinds of lab/hostile that never reach the service."""
KINDS_AT_ONCE = 4
CONNECTIONS = 25
SPARE_DESCRIPTORS = 2


@contextmanager
def log_blocked(system: System, random: Random) -> Iterator[str]:
    """Nobody reads what it writes to its standard output."""
    name = random.choice(list(system.sidecars))
    with system.sidecars[name].output.blocked():
        yield name


@contextmanager
def descriptors_short(system: System, random: Random) -> Iterator[str]:
    """It may open hardly anything more; of several processes, one of those that serve."""
    name = random.choice(list(system.sidecars))
    sidecar = system.sidecars[name]
    pid = random.choice(sidecar.worker_pids() or [sidecar.process.pid])
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    highest = max(int(path.name) for path in Path(f"/proc/{pid}/fd").iterdir())
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (highest + 1 + SPARE_DESCRIPTORS, limits[1]))
    try:
        yield f"{name}, up to {highest + SPARE_DESCRIPTORS}"
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)


@contextmanager
def hostile_clients(system: System, random: Random) -> Iterator[str]:
    """Clients without credentials of some kinds are at one of them."""
    name = random.choice(list(system.sidecars))
    kinds = tuple(random.sample(HOSTILE, KINDS_AT_ONCE))
    port = str(system.sidecars[name].port)
    argv = [sys.executable, "-m", "lab.hostile.clients", port, port]
    order = Order(kinds, CONNECTIONS, rate=100, seconds=60)
    with subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, text=True) as clients:
        try:
            assert clients.stdin is not None  # noqa: S101 (it was asked for)
            print(json.dumps(asdict(order)), file=clients.stdin, flush=True)
            yield f"{name}: {', '.join(kinds)}"
        finally:
            clients.kill()
