"""Processes that play schedules, one database each. Nothing here needs Django before a worker has begun."""

from __future__ import annotations

import gc
import logging
import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.pool import Pool
from typing import TYPE_CHECKING

import django

if TYPE_CHECKING:
    from lab.schedules.player import Player, Verdict

BATCH = 10
_players: list[Player] = []
"""Of this process: one, when it is a worker."""


def begin() -> None:
    """Django, with nothing of what it logs: that failures are logged is no news here."""
    django.setup()
    logging.disable(logging.CRITICAL)


@contextmanager
def player(database: str) -> Iterator[Player]:
    """One for this process."""
    from lab.schedules.databases import default_database_kept
    from lab.schedules.player import Player

    with ExitStack() as stack:
        stack.enter_context(default_database_kept())
        mine = Player(_urls(database, stack)("alone"))
        stack.callback(mine.close)
        yield mine


@contextmanager
def workers(database: str, count: int) -> Iterator[Pool]:
    with ExitStack() as stack:
        clone = _urls(database, stack)
        context = multiprocessing.get_context("spawn")
        urls = context.SimpleQueue()
        for number in range(count):
            urls.put(clone(f"worker{number}"))
        yield stack.enter_context(context.Pool(count, _start, (urls,)))


def _urls(database: str, stack: ExitStack) -> Callable[[str], str]:
    """Makes databases, by name."""
    if database == "sqlite":
        from lab.schedules import sqlite

        path = stack.enter_context(sqlite.template())
        return lambda name: sqlite.clone(path, name)
    from lab.schedules import postgresql

    running = stack.enter_context(postgresql.server())
    return lambda name: postgresql.clone(running, name)


def _start(urls: multiprocessing.SimpleQueue[str]) -> None:
    begin()
    from lab.schedules.player import Player

    gc.freeze()  # Django is here to stay, and need not be looked through again and again
    _players.append(Player(urls.get()))


def play(pool: Pool, texts: Iterator[str], seconds: float, count: int) -> Iterator[Verdict]:
    """Verdicts as they come, until there are no more schedules or the time is over. `count`: of workers."""
    deadline = time.monotonic() + seconds
    ahead = threading.Semaphore(2 * BATCH * count)

    def due() -> Iterator[str]:
        for text in texts:
            ahead.acquire()  # a pool takes whatever it can get, and would go on with that for ever
            if time.monotonic() > deadline:
                return
            yield text

    for verdict in pool.imap_unordered(_play, due(), BATCH):
        ahead.release()
        yield verdict


def shrink(pool: Pool, verdicts: list[Verdict]) -> list[Verdict]:
    return pool.map(_shrink, verdicts, 1)


def _play(text: str) -> Verdict:
    from lab.schedules.schedule import parse

    return _players[0].play(parse(text))


def _shrink(verdict: Verdict) -> Verdict:
    return _players[0].shrink(verdict)
