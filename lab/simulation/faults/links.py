"""Links between one sidecar and one dependency, or all of them.

What can go wrong with any way between two is made here of a `Pick`: the byte path has ways of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from lab.simulation.faults.kind import Kind, Strike
from lab.simulation.links import Link
from lab.simulation.process import DEPENDENCIES
from lab.simulation.sidecar import Sidecar
from lab.simulation.world import World

Pick = Callable[[World, Random], tuple[Sidecar, str, Link]]
"""Whose link it is, what it is called, and the link."""
Striking = Callable[[World, Random], Strike]


def cut(pick: Pick) -> Striking:
    def strike(world: World, random: Random) -> Strike:
        sidecar, name, link = pick(world, random)
        link.cut()
        return Strike(f"{sidecar.name}, {name}", ((sidecar.name, name),), lambda: link.heal(lost=True))

    return strike


def half_open(pick: Pick) -> Striking:
    def strike(world: World, random: Random) -> Strike:
        sidecar, name, link = pick(world, random)
        outwards, lost = random.random() < 0.5, random.random() < 0.5
        link.block((outwards, not outwards))
        detail = f"{sidecar.name}, {name}: nothing {'goes out' if outwards else 'comes in'}"
        return Strike(detail, ((sidecar.name, name),), lambda: link.heal(lost=lost))

    return strike


def reset(pick: Pick) -> Striking:
    def strike(world: World, random: Random) -> Strike:
        sidecar, name, link = pick(world, random)
        link.reset()
        return Strike(f"{sidecar.name}, {name}", ((sidecar.name, name),))

    return strike


def _pick(world: World, random: Random) -> tuple[Sidecar, str, Link]:
    sidecar = random.choice(world.sidecars)
    name = random.choice(DEPENDENCIES)
    return sidecar, name, sidecar.links[name]


def _delayed(world: World, random: Random) -> Strike:
    sidecar, name, link = _pick(world, random)
    high = random.choice((random.uniform(0.1, 1.5), 4.0))
    link.extra = (0.05 if high < 4.0 else 3.0), high
    detail = f"{sidecar.name}, {name}: up to {link.extra[1]:.1f} s"
    return Strike(detail, ((sidecar.name, name),), lambda: link.heal(lost=False))


def _black_hole(world: World, random: Random) -> Strike:
    sidecar, name, link = _pick(world, random)
    lost = random.random() < 0.5
    link.block((True, True))
    return Strike(f"{sidecar.name}, {name}", ((sidecar.name, name),), lambda: link.heal(lost=lost))


def _isolate(sidecar: Sidecar, names: Sequence[str]) -> Strike:
    links = [sidecar.links[name] for name in names]
    for link in links:
        link.cut()

    def heal() -> None:
        for link in links:
            link.heal(lost=True)

    return Strike(f"{sidecar.name}: {', '.join(names)}", tuple((sidecar.name, name) for name in names), heal)


def _cut_off(world: World, random: Random) -> Strike:
    """Of all news; the store it still has."""
    return _isolate(random.choice(world.sidecars), ("user_service", "broker"))


def _isolated(world: World, random: Random) -> Strike:
    return _isolate(random.choice(world.sidecars), DEPENDENCIES)


KINDS = (
    Kind("cut a link", cut(_pick), (0.5, 12.0)),
    Kind("delay a link", _delayed, (1.0, 12.0)),
    Kind("half-open a link", half_open(_pick), (0.5, 12.0)),
    Kind("black-hole a link", _black_hole, (0.5, 12.0)),
    Kind("cut a sidecar off from news", _cut_off, (0.5, 12.0)),
    Kind("isolate a sidecar", _isolated, (0.5, 12.0)),
    Kind("reset a link", reset(_pick), (0.0, 0.1)),
)
