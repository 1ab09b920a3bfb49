"""The catalogue of faults."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from random import Random

from lab.campaign.clocks import LIBRARY
from lab.campaign.strikes import clock, database, links, messages, processes, stores
from lab.campaign.system import System
from lab.stack.binaries import find
from lab.stack.daemon import Daemon

Strike = Callable[[System, Random], AbstractContextManager[str]]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of fault; it lasts a random time between `seconds`."""

    name: str
    how: str
    ends: str
    strike: Strike
    seconds: tuple[float, float]
    loses: str | None = None
    """The one dependency that everybody is without meanwhile, if it is that simple."""


def _kill(name: str, part: Callable[[System], Daemon]) -> Kind:
    return Kind(
        f"kill {name}",
        "kill -9",
        "started again",
        lambda system, _random: processes.killed(part(system)),
        (0.5, 4),
        loses=name,
    )


def _freeze(name: str, part: Callable[[System], Daemon]) -> Kind:
    return Kind(
        f"freeze {name}",
        "SIGSTOP",
        "SIGCONT",
        lambda system, _random: processes.frozen(part(system)),
        (1, 7),
        loses=name,
    )


_PARTS: dict[str, Callable[[System], Daemon]] = {
    "redis": lambda system: system.redis,
    "rabbitmq": lambda system: system.rabbitmq,
    "relay": lambda system: system.relay,
    "user-service": lambda system: system.user_service,
    "postgresql": lambda system: system.postgresql,
}

CATALOGUE: tuple[Kind, ...] = (
    *(_kill(name, part) for name, part in _PARTS.items()),
    Kind("kill sidecar", "kill -9", "started again", processes.sidecar_killed, (0.5, 4)),
    *(_freeze(name, part) for name, part in _PARTS.items()),
    Kind("freeze sidecar", "SIGSTOP", "SIGCONT", processes.sidecar_frozen, (1, 7)),
    Kind("cut a link", "RST, then no connection", "connections again", links.cut, (1, 7)),
    Kind("delay a link", "0.05 to 1.5 s later, one or both ways", "in time again", links.delayed, (2, 7)),
    Kind("half-open a link", "nothing passes one way", "late, or RST", links.half_open, (1, 7)),
    Kind("black-hole a link", "nothing passes either way", "late, or RST", links.black_hole, (1, 7)),
    Kind("flush redis", "FLUSHALL", "reloaded by a sidecar", stores.flushed, (0.5, 2)),
    Kind("evict from redis", "little room, and others who fill it", "room again", stores.evicting, (2, 6)),
    Kind(
        "fail redis over",
        "a replica that lags becomes primary",
        "it stays primary",
        stores.failed_over,
        (1, 3),
    ),
    Kind(
        "overflow a queue",
        "many changes for a sleeping sidecar",
        "it wakes up",
        messages.overflowed,
        (0.2, 1),
    ),
    Kind(
        "replay messages", "old ones again, out of order", "all were delivered", messages.replayed, (0.5, 2)
    ),
    Kind("poison messages", "bodies nobody can read", "all were delivered", messages.poisoned, (0.5, 2)),
    Kind("two relays", "a second relay is started", "it is stopped", messages.relayed_twice, (1, 4)),
    Kind("restore a backup", "an older database, same epoch", "writes go on", database.restored, (0.5, 2)),
    Kind(
        "restore, new epoch",
        "an older database, and `manage.py new_epoch`",
        "writes go on",
        database.restored_in_new_epoch,
        (0.5, 2),
    ),
    Kind(
        "truncate the log",
        "pruned to its newest revision while a sidecar sleeps",
        "the sidecar wakes up",
        database.truncated,
        (0.2, 1),
    ),
    Kind("jump a clock", "1 to 90 s forth or back", "the right time again", clock.jumped, (2, 5)),
    Kind("jump a sidecar's clock", "the same", "the right time again", clock.sidecar_jumped, (2, 5)),
)


def available() -> tuple[Kind, ...]:
    """The kinds that can strike on this machine: without libfaketime nobody's clock can be set."""
    clocks = (clock.jumped, clock.sidecar_jumped)
    return tuple(kind for kind in CATALOGUE if kind.strike not in clocks or find(LIBRARY))


def plan(random: Random, kinds: Sequence[Kind] = CATALOGUE) -> Iterator[Kind]:
    """Every kind once, in random order, and again in another order, for ever."""
    while True:
        yield from random.sample(kinds, len(kinds))


def markdown() -> str:
    """The catalogue as a Markdown table (docs/faults.md)."""
    rows = ["| fault | strikes | ends | lasts |", "|---|---|---|---|"]
    for kind in CATALOGUE:
        shortest, longest = kind.seconds
        rows.append(f"| {kind.name} | {kind.how} | {kind.ends} | {shortest:g} to {longest:g} s |")
    return "\n".join(rows) + "\n"
