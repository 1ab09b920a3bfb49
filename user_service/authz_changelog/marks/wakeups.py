"""Lets the relay wait until something was committed.

Where the log is brought up to date it says so, by NOTIFY on PostgreSQL. Triggers do not: a transaction
that has notified cannot be prepared for a commit in two phases. So marks are looked for, too: those that are
left behind. Who has just made one mostly sequences it himself, and a relay that queued for the lock behind
him would publish later.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from threading import Event

from django.db import connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.functions import Now

from authz_changelog import sql
from authz_changelog.models import Mark

CHANNEL = "authz_changelog"
"""PostgreSQL's NOTIFY channel: there is a new revision."""
POLL_SECONDS = 0.05
LEFT_BEHIND_AFTER = timedelta(milliseconds=10)

Wait = Callable[[float], None]
"""Returns when something was committed, or after so many seconds at the latest."""


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


def announcing() -> Iterator[sql.Statement]:
    """Wakes those who wait, when the transaction commits."""
    if connection.vendor == "postgresql":
        yield f"NOTIFY {CHANNEL}", ()


def left_behind() -> bool:
    """Is anything marked that whoever marked it does not seem to sequence?"""
    return Mark.objects.filter(marked_at__lt=Now() - LEFT_BEHIND_AFTER).exists()


def _poll(stopping: Event, seconds: float) -> None:
    stopping.wait(min(seconds, POLL_SECONDS))


def _listen(listener: BaseDatabaseWrapper, seconds: float) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        with listener.wrap_database_errors:
            for _ in listener.connection.notifies(timeout=min(left, POLL_SECONDS), stop_after=1):
                return
        if left_behind():
            return
