"""Makes a failing schedule as small as it can be while it fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from lab.schedules.schedule import TO_THE_END, Move, Part, Schedule

TRIES = 80
SECONDS = 60.0
"""After that it is small enough: one that fails because something hangs takes long each time."""


def smallest(schedule: Schedule, fails: Callable[[Schedule], bool]) -> Schedule:
    """Whatever can be left out is."""
    tries, deadline = 0, time.monotonic() + SECONDS
    again = True
    while again:
        again = False
        for candidate in _smaller(schedule):
            tries += 1
            if tries > TRIES or time.monotonic() > deadline:
                return schedule
            if fails(candidate):
                schedule, again = candidate, True
                break
    return schedule


def _smaller(schedule: Schedule) -> Iterator[Schedule]:
    parts, moves = schedule.parts, schedule.moves
    if len(parts) > 1:
        yield from (schedule.without(part.name) for part in parts)
    yield from (replace(schedule, moves=(*moves[:at], *moves[at + 1 :])) for at in range(len(moves)))
    if schedule.limit:
        yield replace(schedule, limit=None)
    for at, part in enumerate(parts):
        for simpler in _simpler(part):
            yield replace(schedule, parts=(*parts[:at], simpler, *parts[at + 1 :]))
    for at, move in enumerate(moves):
        if move.statements > 1:
            fewer = Move(move.name, move.statements - 1)
            yield replace(schedule, moves=(*moves[:at], fewer, *moves[at + 1 :]))
        if move.statements > 0:
            whole = Move(move.name, TO_THE_END)
            yield replace(schedule, moves=(*moves[:at], whole, *moves[at + 1 :]))


def _simpler(part: Part) -> Iterator[Part]:
    if part.answered:
        yield replace(part, answered=False)
    if part.isolation in ("rr", "ser"):
        yield replace(part, isolation="rc")
