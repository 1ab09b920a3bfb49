"""Programs that die or freeze, or are replaced."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from random import Random

from lab.campaign.evidence import Kill
from lab.campaign.system import System
from lab.stack.daemon import Daemon


@contextmanager
def killed(part: Daemon) -> Iterator[str]:
    part.kill()
    yield part.name
    part.start()


@contextmanager
def frozen(part: Daemon) -> Iterator[str]:
    part.suspend()
    try:
        yield part.name
    finally:
        part.resume()


@contextmanager
def sidecar_killed(system: System, random: Random) -> Iterator[str]:
    name = random.choice(list(system.sidecars))
    began = time.time()
    with killed(system.sidecars[name]):
        system.kills.append(Kill(name, began, time.time()))
        yield name


@contextmanager
def sidecar_frozen(system: System, random: Random) -> Iterator[str]:
    name = random.choice(list(system.sidecars))
    with frozen(system.sidecars[name]):
        yield name


@contextmanager
def worker_killed(system: System, random: Random) -> Iterator[str]:
    """The lines that only it had go with it."""
    name = random.choice(list(system.sidecars))
    pid = random.choice(system.sidecars[name].worker_pids())
    began = time.time()
    os.kill(pid, signal.SIGKILL)
    system.kills.append(Kill(name, began, time.time()))
    yield f"{name}, process {pid}"


@contextmanager
def follower_killed(system: System, random: Random) -> Iterator[str]:
    name = random.choice(list(system.sidecars))
    pid = system.sidecars[name].follower_pid()
    os.kill(pid, signal.SIGKILL)
    yield f"{name}, process {pid}"


@contextmanager
def follower_frozen(system: System, random: Random) -> Iterator[str]:
    """Its supervisor notices that it says nothing, and ends it."""
    name = random.choice(list(system.sidecars))
    pid = system.sidecars[name].follower_pid()
    os.kill(pid, signal.SIGSTOP)
    try:
        yield f"{name}, process {pid}"
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


@contextmanager
def handed_over(system: System, random: Random) -> Iterator[str]:
    name = random.choice(list(system.sidecars))
    system.sidecars[name].replace()
    yield name
