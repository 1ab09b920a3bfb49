"""Programs that die or freeze."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
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
