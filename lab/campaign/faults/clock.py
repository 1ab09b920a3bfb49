"""Clocks that are set while programs run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

from lab.campaign.system import System

JUMPS = (-90.0, -7.0, -1.0, 1.0, 7.0, 90.0)


@contextmanager
def jumped(system: System, random: Random) -> Iterator[str]:
    """Of the database, whose time is that of the whole change log, or of the relay."""
    name, jump = random.choice(list(system.clocks)), random.choice(JUMPS)
    system.clocks[name].set(jump)
    yield f"{name}, {jump:+g} s"
    system.clocks[name].set(0)


@contextmanager
def sidecar_jumped(system: System, random: Random) -> Iterator[str]:
    """libfaketime slows a program with threads down a lot: a sidecar has it only for this time."""
    name, jump = random.choice(list(system.sidecars)), random.choice(JUMPS)
    sidecar, clock = system.sidecars[name], system.make_clock(name)
    sidecar.stop()
    clock.attach(sidecar.process)
    sidecar.start()
    clock.set(jump)
    yield f"{name}, {jump:+g} s"
    sidecar.stop()
    clock.detach(sidecar.process)
    sidecar.start()
