"""What is wrong with the product may show only when certain faults strike together, in a certain order.

Where each strikes by itself such an order is rare, and where many strike at once something else hides what it
did. So in worlds of every eighth seed nothing is broken but these coincidences, of which each world has two
kinds, with some calm after each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random

from lab.simulation.plan import Fault, Kinds, Plan, draw_setup, numbered, stream

Coincidence = Sequence[tuple[str, float, float]]
"""Kinds of faults, each with the seconds until it strikes and for which it lasts, about."""

COINCIDENCES: Mapping[str, Coincidence] = {
    "news of a clock that was set back arrive late": (
        ("let messages fall behind", 0.0, 65.0),
        ("let nobody write", 17.0, 40.0),
        ("set the service's clock back a little", 30.0, 22.0),
        ("freeze the User service", 32.0, 13.0),
        ("change everybody", 34.5, 0.0),
    ),
    "the store is repaired while it moves": (
        ("lose entities of the store", 0.0, 0.0),
        ("slow answers", 0.0, 20.0),
        ("lose entities of the store", 10.0, 0.0),
    ),
    "one that is cut off shares a store that another brings on along a new branch": (
        ("cut a sidecar off from news", 0.0, 14.0),
        ("restore a backup", 1.0, 5.0),
        ("lose entities of the store", 8.0, 0.0),
    ),
    "a slow store is many revisions behind when the last of them are lost": (
        ("slow the store", 0.0, 25.0),
        ("flood the log", 1.0, 0.0),
        ("let nobody write", 3.0, 45.0),
        ("restore a backup", 4.0, 9.0),
        ("fail calls of the store", 5.0, 6.0),
        ("flood the log", 7.0, 0.0),
    ),
    "the store is lost, and cannot be loaded": (
        ("flush the store", 1.0, 0.0),
        ("truncate snapshots", 0.0, 45.0),
        ("flush the store", 20.0, 0.0),
    ),
    "rules change while requests are under way": (
        ("put other rules into force", 0.0, 0.0),
        ("change everybody", 3.0, 0.0),
        ("put other rules into force", 22.0, 0.0),
    ),
}
OF_EACH_WORLD = 2
LATE = (0.0, 2.0)
"""Seconds by which each strikes later than it says."""
JITTER = 0.3
"""The share of its time by which each lasts shorter or longer."""
CALM = (20.0, 40.0)
"""Seconds between the end of one coincidence and the beginning of the next."""
DURATION = 240.0
"""Seconds of each world: some for each coincidence, and for calm."""
ANY = 3
"""So many kinds, whichever, now and then strike together, too."""


def draw(seed: int, kinds: Kinds) -> Plan:
    """A plan. `kinds`: those that any world may have, with the seconds each lasts at least and at most."""
    setup = replace(draw_setup(seed), duration=DURATION)
    return Plan(seed, setup, numbered(_faults(stream(seed, "coincidences"), setup.duration, kinds)))


def _faults(random: Random, duration: float, kinds: Kinds) -> list[Fault]:
    chosen = random.sample(sorted(COINCIDENCES), OF_EACH_WORLD)
    faults: list[Fault] = []
    at = random.uniform(2.0, 10.0)
    while at < duration:
        together = _any(random, kinds) if random.random() < 0.2 else COINCIDENCES[random.choice(chosen)]
        struck = [
            Fault(0, kind, at + begins + random.uniform(*LATE), _about(random, lasts), random.getrandbits(32))
            for kind, begins, lasts in together
        ]
        faults += struck
        at = max(fault.at + fault.seconds for fault in struck) + random.uniform(*CALM)
    return faults


def _any(random: Random, kinds: Kinds) -> Coincidence:
    chosen = random.sample(sorted(kinds), ANY)
    return [(kind, random.uniform(0.0, 4.0), random.uniform(*kinds[kind])) for kind in chosen]


def _about(random: Random, seconds: float) -> float:
    return seconds * random.uniform(1.0 - JITTER, 1.0 + JITTER)
