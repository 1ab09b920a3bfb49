"""What one seed stands for: sizes, timeouts and rates, and which faults strike when.

Every part of the world draws from a stream of its own, so that a fault can be taken out of a plan and the
rest still happens much as it did.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from types import MappingProxyType

STAYS_BROKEN = 0.4
"""The share of worlds in which something does."""


def stream(seed: int, purpose: str) -> Random:
    """A source of randomness of its own for each purpose."""
    return Random(f"{seed} {purpose}")  # noqa: S311 (it has to be reproducible)


@dataclass(frozen=True, slots=True)
class Setup:
    """The size of the world. Times in seconds, rates a second."""

    sidecars: int
    with_broker: tuple[bool, ...]
    users: int
    groups: int
    near_cache_size: int
    max_staleness: float
    max_audit_age: float | None
    feed_interval: float
    drift_interval: float
    drift_buckets: int
    changes_limit: int
    queue_length: int
    latency: float
    requests: float
    """Of all clients, for each sidecar."""
    writes: float
    large_writes: float
    """The share of transactions that change many entities."""
    lazy_sequencing: float
    """The share of commits after which nobody sequences at once."""
    duration: float
    connections: float = 0.0
    """Of clients of the byte path, for each sidecar."""
    upstream_connections: int = 50
    workers: int = 0
    """Of each sidecar; 0: it is one process."""
    imports: bool = False
    """Whether a lot is taken in now and then."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: `seed` is what it draws from, `number` its name in a story."""

    number: int
    kind: str
    at: float
    seconds: float
    seed: int


Kinds = Mapping[str, tuple[float, float]]
"""Kinds of faults, with the seconds each lasts at least and at most."""


@dataclass(frozen=True, slots=True)
class Plan:
    seed: int
    setup: Setup
    faults: tuple[Fault, ...]


def draw_setup(seed: int) -> Setup:
    random = stream(seed, "setup")
    sidecars = random.choice((1, 2, 2, 3, 3, 4))
    wire = stream(seed, "byte path")  # of its own: worlds without it are what they were
    broker_share = random.choice((0.0, 0.5, 1.0, 1.0))
    users = random.choice((3, 8, 20, 40))
    max_staleness = random.choice((2.0, 3.0, 3.0, 5.0, 10.0, 30.0))
    drift_interval = random.choice((2.0, 5.0, 20.0, 600.0))
    if random.random() < 0.25:  # who follows slowly meets what others miss
        broker_share, max_staleness, drift_interval = 0.0, 30.0, 2.0
    return Setup(
        sidecars=sidecars,
        with_broker=tuple(random.random() < broker_share for _ in range(sidecars)),
        users=users,
        groups=random.choice((2, 4, 8)),
        near_cache_size=random.choice((4, 6, 12, 12, 100)),
        max_staleness=max_staleness,
        max_audit_age=random.choice((None, None, 12.0, 25.0)),
        feed_interval=random.choice((0.2, 0.5, 1.0)) if max_staleness < 30.0 else 4.0,
        drift_interval=drift_interval,
        drift_buckets=random.choice((2, 4, 16)),
        changes_limit=random.choice((3, 20, 1000)),
        queue_length=random.choice((5, 50, 10_000)),
        latency=random.choice((0.0005, 0.002, 0.02)),
        requests=random.choice((1.0, 2.0, 6.0)),
        writes=random.choice((0.2, 1.0, 3.0)),
        large_writes=random.choice((0.0, 0.05, 0.3)),
        lazy_sequencing=random.choice((0.0, 0.1, 0.5)),
        duration=random.choice((60.0, 120.0, 240.0)),
        connections=wire.choice((0.5, 2.0)) if seed % 4 == 1 else 0.0,
        upstream_connections=wire.choice((1, 5, 50, 50)),
        workers=stream(seed, "workers").choice((2, 3)) if seed % 4 == 3 else 0,
        imports=seed % 8 == 5,
    )


NONE: Kinds = MappingProxyType({})


def draw(
    seed: int,
    kinds: Kinds,
    of_the_byte_path: Kinds = NONE,
    of_workers: Kinds = NONE,
    of_imports: Kinds = NONE,
) -> Plan:
    """A plan. `kinds`: every kind of fault, with the seconds it lasts at least and at most."""
    setup, random = draw_setup(seed), stream(seed, "faults")
    chosen = random.sample(sorted(kinds), random.randint(1, len(kinds)))
    calm = random.choice((0.4, 2.0, 6.0, 12.0))
    faults = _lasting(stream(seed, "what stays broken"), setup.duration, kinds)
    chosen = [kind for kind in chosen if kind not in {fault.kind for fault in faults}] or chosen
    faults += _faults(random, setup.duration, chosen, kinds, calm)
    for wanted, more, purpose in (
        (setup.connections, of_the_byte_path, "faults of the byte path"),
        (setup.workers, of_workers, "faults of workers"),
        (setup.imports, of_imports, "imports"),
    ):
        if wanted and more:
            own = stream(seed, purpose)
            faults += _faults(own, setup.duration, sorted(more), more, own.choice((2.0, 8.0)))
    return Plan(seed, setup, numbered(faults))


def numbered(faults: Sequence[Fault]) -> tuple[Fault, ...]:
    """In the order in which they strike."""
    in_order = sorted(faults, key=lambda fault: fault.at)
    return tuple(replace(fault, number=number) for number, fault in enumerate(in_order, 1))


def _lasting(random: Random, duration: float, kinds: Kinds) -> list[Fault]:
    """In some worlds something stays broken: it must stay cheap, and safe, whatever else happens."""
    if random.random() >= STAYS_BROKEN:
        return []
    kind = random.choice(sorted(name for name, (low, _) in kinds.items() if low > 0.0))
    at = random.uniform(0.0, duration / 4)
    return [Fault(0, kind, at, duration - at, random.getrandbits(32))]


def _faults(
    random: Random,
    duration: float,
    chosen: Sequence[str],
    kinds: Kinds,
    calm: float,
) -> list[Fault]:
    faults: list[Fault] = []
    at = random.uniform(0.0, 8.0)  # some strike while the sidecars are starting
    while at < duration:
        kind = random.choice(chosen)
        low, high = kinds[kind]
        seconds = random.uniform(low, high) * (6.0 if random.random() < 0.05 else 1.0)
        faults.append(Fault(len(faults) + 1, kind, at, seconds, random.getrandbits(32)))
        at += random.expovariate(1.0 / calm)
    return faults
