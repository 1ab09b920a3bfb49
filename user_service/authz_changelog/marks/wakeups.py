"""Lets the relay wait until something was committed: NOTIFY on PostgreSQL, short polling on SQLite."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event

from django.db import connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from authz_changelog.marks.triggers import CHANNEL

POLL_SECONDS = 0.05

Wait = Callable[[float], None]
"""Returns when marks were committed, or after so many seconds at the latest."""


@contextmanager
def wakeups(stopping: Event) -> Iterator[Wait]:
    if connection.vendor != "postgresql":
        yield lambda seconds: _poll(stopping, seconds)
        return
    listener = connections.create_connection(connection.alias)
    try:
        with listener.cursor() as cursor:
            cursor.execute(f"LISTEN {CHANNEL}")
        yield lambda seconds: _listen(listener, seconds)
    finally:
        listener.close()


def _poll(stopping: Event, seconds: float) -> None:
    stopping.wait(min(seconds, POLL_SECONDS))


def _listen(listener: BaseDatabaseWrapper, seconds: float) -> None:
    with listener.wrap_database_errors:
        for _ in listener.connection.notifies(timeout=seconds, stop_after=1):
            pass
