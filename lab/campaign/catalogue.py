"""The catalogue of faults."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from random import Random

from lab.campaign.clocks import LIBRARY
from lab.campaign.faults import (
    clock,
    database,
    keys,
    links,
    messages,
    processes,
    sidecars,
    stores,
    tables,
)
from lab.campaign.system import System
from lab.stack.binaries import find
from lab.stack.daemon import Daemon

Injection = Callable[[System, Random], AbstractContextManager[str]]


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault. It lasts a random time between `seconds`."""

    name: str
    how: str
    ends: str
    inject: Injection
    seconds: tuple[float, float]
    loses: str | None = None
    """The one dependency that everybody is without meanwhile, if it is that simple."""
    seamless: bool = False
    """Whether no request may notice."""
    least_workers: int = 1
    """Of a sidecar, for this to be possible."""


def _kill(name: str, part: Callable[[System], Daemon]) -> Fault:
    return Fault(
        f"kill {name}",
        "kill -9",
        "started again",
        lambda system, _random: processes.killed(part(system)),
        (0.5, 4),
        loses=name,
    )


def _freeze(name: str, part: Callable[[System], Daemon]) -> Fault:
    return Fault(
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

CATALOGUE: tuple[Fault, ...] = (
    *(_kill(name, part) for name, part in _PARTS.items()),
    Fault("kill sidecar", "kill -9", "started again", processes.sidecar_killed, (0.5, 4)),
    Fault(
        "kill a worker",
        "kill -9 of one process of a sidecar",
        "another is in its place",
        processes.worker_killed,
        (0.2, 2),
        least_workers=2,
    ),
    Fault(
        "kill a follower",
        "kill -9 of the process that feeds a sidecar's workers",
        "another is in its place",
        processes.follower_killed,
        (0.2, 2),
        loses="a follower",
        least_workers=2,
    ),
    *(_freeze(name, part) for name, part in _PARTS.items()),
    Fault("freeze sidecar", "SIGSTOP", "SIGCONT", processes.sidecar_frozen, (1, 7)),
    Fault(
        "freeze a follower",
        "SIGSTOP",
        "it is ended, and another is in its place",
        processes.follower_frozen,
        (1, 4),
        loses="a follower",
        least_workers=2,
    ),
    Fault(
        "hand over",
        "a newer version of a sidecar is started",
        "the older one has left",
        processes.handed_over,
        (0.1, 0.5),
        seamless=True,
    ),
    Fault("cut a link", "RST, then no connection", "connections again", links.cut, (1, 7)),
    Fault("delay a link", "0.05 to 1.5 s later, one or both ways", "in time again", links.delayed, (2, 7)),
    Fault("half-open a link", "nothing passes one way", "late, or RST", links.half_open, (1, 7)),
    Fault("black-hole a link", "nothing passes either way", "late, or RST", links.black_hole, (1, 7)),
    Fault("flush redis", "FLUSHALL", "reloaded by a sidecar", stores.flushed, (0.5, 2)),
    Fault("evict from redis", "little room, and others who fill it", "room again", stores.evicting, (2, 6)),
    Fault(
        "fail redis over",
        "a replica that lags becomes primary",
        "it stays primary",
        stores.failed_over,
        (1, 3),
    ),
    Fault(
        "overflow a queue",
        "many changes for a sleeping sidecar",
        "it wakes up",
        messages.overflowed,
        (0.2, 1),
    ),
    Fault(
        "replay messages", "old ones again, out of order", "all were delivered", messages.replayed, (0.5, 2)
    ),
    Fault("poison messages", "bodies nobody can read", "all were delivered", messages.poisoned, (0.5, 2)),
    Fault("two relays", "a second relay is started", "it is stopped", messages.relayed_twice, (1, 4)),
    Fault("restore a backup", "an older database, same epoch", "writes go on", database.restored, (0.5, 2)),
    Fault(
        "restore, new epoch",
        "an older database, and `manage.py new_epoch`",
        "writes go on",
        database.restored_in_new_epoch,
        (0.5, 2),
    ),
    Fault(
        "truncate the log",
        "pruned to its newest revision while a sidecar sleeps",
        "the sidecar wakes up",
        database.truncated,
        (0.2, 1),
    ),
    Fault(
        "drop triggers",
        "those of a watched table",
        "`manage.py install_triggers`",
        tables.triggers_gone,
        (1, 7),
    ),
    Fault(
        "switch triggers off", "DISABLE TRIGGER", "`manage.py install_triggers`", tables.triggers_off, (1, 7)
    ),
    Fault(
        "rewrite a table",
        "a column with a volatile default is added",
        "it is dropped",
        tables.rewritten,
        (0.5, 2),
    ),
    Fault("lose a mark", "a change whose marks are deleted", "nothing ends it", tables.unmarked, (0.5, 2)),
    Fault("remake the exchange", "it is deleted", "the relay declares it", messages.exchange_remade, (1, 7)),
    Fault(
        "swap redis behind its address",
        "a replica becomes primary, the primary read-only",
        "it stays so",
        stores.swapped,
        (1, 5),
    ),
    Fault("block a log", "nobody reads a sidecar's stdout", "it is read again", sidecars.log_blocked, (1, 7)),
    Fault("sicken the key endpoint", "errors, pages, half a set", "keys again", keys.sick, (1, 7)),
    Fault("take descriptors", "a sidecar may open two more", "as before", sidecars.descriptors_short, (1, 5)),
    Fault(
        "hostile clients",
        "100 without credentials, of four kinds",
        "they have left",
        sidecars.hostile_clients,
        (2, 7),
    ),
    Fault("jump a clock", "1 to 90 s forth or back", "the right time again", clock.jumped, (2, 5)),
    Fault("jump a sidecar's clock", "the same", "the right time again", clock.sidecar_jumped, (2, 5)),
)


def available(workers: int) -> tuple[Fault, ...]:
    """Those that are possible with so many workers, and here: without libfaketime nobody's clock is set."""
    clocks = (clock.jumped, clock.sidecar_jumped)
    return tuple(
        fault
        for fault in CATALOGUE
        if workers >= fault.least_workers and (fault.inject not in clocks or find(LIBRARY))
    )


def plan(random: Random, faults: Sequence[Fault] = CATALOGUE) -> Iterator[Fault]:
    """Every fault once, in random order, and again in another order, for ever."""
    while True:
        yield from random.sample(faults, len(faults))


def markdown() -> str:
    """The catalogue as a Markdown table (docs/faults.md)."""
    rows = ["| fault | begins with | ends with | lasts |", "|---|---|---|---|"]
    for fault in CATALOGUE:
        shortest, longest = fault.seconds
        rows.append(f"| {fault.name} | {fault.how} | {fault.ends} | {shortest:g} to {longest:g} s |")
    return "\n".join(rows) + "\n"
