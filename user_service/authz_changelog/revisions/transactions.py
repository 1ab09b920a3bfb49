"""The two kinds of transaction the change log needs beside Django's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction

from authz_changelog.models import Head
from authz_changelog.revisions.errors import SequencingFailed

FROZEN_AFTER = "2s"
"""Idle for so long inside a run, whose steps take milliseconds; less than the relay waits for the lock."""


def refuse_inside_transaction() -> None:
    """Inside a transaction nothing can be said about what is committed."""
    if connection.in_atomic_block:
        raise SequencingFailed("the connection is inside a transaction: the change log needs its own")


@contextmanager
def sequencing(seconds: float) -> Iterator[None]:
    """Hold the sequencer's lock, with one snapshot of the database that is taken after the lock is held.

    Waits at most `seconds` for the lock on PostgreSQL, the connection's `timeout` on SQLite, then
    raises `OperationalError`. Raises `SequencingFailed` inside another transaction: the lock would be
    held for all of it, and its snapshot could be older than the lock.
    """
    refuse_inside_transaction()
    table = connection.ops.quote_name(Head._meta.db_table)
    with transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            # A process that is frozen while it holds the lock loses it, and its run is done by another.
            cursor.execute(f"SET LOCAL idle_in_transaction_session_timeout = '{FROZEN_AFTER}'")
            cursor.execute(f"SET LOCAL lock_timeout = {max(1, int(seconds * 1000))}")
            # A run looks a few keys up: a planner without statistics, as after an import, would read whole
            # tables instead, and what it cannot do without that it would think worth compiling.
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute("SET LOCAL jit = off")
            # None of these takes a snapshot; the first query after them does.
            cursor.execute(f"LOCK TABLE {table} IN EXCLUSIVE MODE")
        else:
            cursor.execute(f"UPDATE {table} SET revision = revision")  # noqa: S608 (our own table's name)
        yield


@contextmanager
def one_snapshot() -> Iterator[None]:
    """Everything read inside shows one committed state of the database; nothing may be written."""
    refuse_inside_transaction()
    if connection.vendor == "postgresql":
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield
        return
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")  # atomic() would begin IMMEDIATE and keep all writers out
        try:
            yield
        finally:
            cursor.execute("ROLLBACK")
