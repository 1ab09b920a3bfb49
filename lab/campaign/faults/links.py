"""Links that are cut, slow, one-way or silent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

from lab.campaign.link import DIRECTIONS
from lab.campaign.system import System


@contextmanager
def cut(system: System, random: Random) -> Iterator[str]:
    link = random.choice(list(system.network.links))
    system.network.cut(link)
    yield link
    system.network.restore(link)


@contextmanager
def delayed(system: System, random: Random) -> Iterator[str]:
    link, seconds = random.choice(list(system.network.links)), random.uniform(0.05, 1.5)
    directions = random.choice((DIRECTIONS, DIRECTIONS[:1], DIRECTIONS[1:]))
    for direction in directions:
        system.network.delay(link, direction, seconds)
    yield f"{link}, {seconds:.2f} s {' and '.join(directions)}"
    system.network.restore(link)


@contextmanager
def half_open(system: System, random: Random) -> Iterator[str]:
    link, direction = random.choice(list(system.network.links)), random.choice(DIRECTIONS)
    system.network.silence(link, direction)
    yield f"{link}, nothing {direction}"
    system.network.restore(link, reset=random.random() < 0.5)


@contextmanager
def black_hole(system: System, random: Random) -> Iterator[str]:
    link = random.choice(list(system.network.links))
    system.network.silence(link, *DIRECTIONS)
    yield link
    system.network.restore(link, reset=random.random() < 0.5)
