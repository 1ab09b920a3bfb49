"""The transactions the change log needs beside Django's own.

A snapshot of PostgreSQL is taken by a transaction's first query. Not everything respects it: a table that is
rewritten or truncated after the snapshot was taken looks empty in it. So the watched tables are locked before
the first query, in the weakest mode, which only such statements conflict with; LOCK takes no snapshot.

Whoever rewrites two tables can wait for us while we wait for them. We wait `PATIENCE_MS` at most, less than
the database does before it calls that a deadlock, then give way and begin again: `GaveWay`. So does a process
that was frozen, whose session the database has ended.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from django.db import Error, OperationalError, connection, transaction
from django.db.backends.utils import CursorWrapper

from authz_changelog import sql
from authz_changelog.marks.watched import Watched
from authz_changelog.models import Head
from authz_changelog.revisions.errors import GaveWay, SequencingFailed

FROZEN_AFTER = "2s"
"""Idle for so long inside a run, whose steps take milliseconds; less than the relay waits for the lock."""
PATIENCE_MS = 200
"""For all watched tables, or for a lock of a small write; PostgreSQL's `deadlock_timeout` is 1 s."""
HELD = ("57014", "40P01")
"""PostgreSQL's codes for an end of that patience, and for a deadlock."""
TAKEN = "55P03"
"""Of a lock that is not waited for, or was waited for as long as it may be."""


def refuse_inside_transaction() -> None:
    """Inside a transaction nothing can be said about what is committed."""
    if connection.in_atomic_block or not connection.get_autocommit():
        raise SequencingFailed("the connection is inside a transaction: the change log needs its own")


@contextmanager
def sequencing(seconds: float, *reading: sql.Select) -> Iterator[list[list[sql.Row]]]:
    """Hold the sequencer's lock, with one snapshot of the database that is taken after the lock is held.

    With what is read first in it.

    Waits at most `seconds` for the lock on PostgreSQL, the connection's `timeout` on SQLite, then
    raises `OperationalError`. Raises `GaveWay` when somebody has a watched table for himself, or when the
    database has ended the session, and `SequencingFailed` inside another transaction: the lock would be held
    for all of it, and its snapshot could be older than the lock.
    """
    with _transaction():
        if connection.vendor == "postgresql":
            begin = [
                "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
                # A run looks a few keys up, and the first of many marks: a planner without statistics, as
                # after an import, would read and sort whole tables instead, and think it worth compiling.
                *("SET LOCAL enable_seqscan = off", "SET LOCAL enable_bitmapscan = off"),
                "SET LOCAL jit = off",
                *_locking_head(seconds),
            ]
            found = _lock_watched(begin, reading)
        else:
            lock = f"UPDATE {_head()} SET revision = revision"  # noqa: S608 (our own table's name)
            found = sql.read(*reading, after=[lock])
        yield found


@contextmanager
def beside_no_run(seconds: float) -> Iterator[None]:
    """For the log's own tables: the sequencer's lock, in a transaction that sees what others commit.

    Raises as `sequencing` does.
    """
    with _transaction() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(";".join(_locking_head(seconds)))
        yield


@contextmanager
def _transaction() -> Iterator[CursorWrapper]:
    """One of our own. Who has lost the connection in the middle of it has given way to whoever comes next."""
    refuse_inside_transaction()
    connection.ensure_connection()
    session = connection.connection
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            yield cursor
    except Error as error:
        if connection.connection is session:
            raise
        raise GaveWay("the database has ended the session") from error  # Django has begun another


def _locking_head(seconds: float) -> list[str]:
    patience = f"SET LOCAL lock_timeout = {max(1, int(seconds * 1000))}"
    return [_for_a_frozen_one(), patience, f"LOCK TABLE {_head()} IN EXCLUSIVE MODE"]


def _for_a_frozen_one() -> str:
    """A process that is frozen while it holds locks loses them, and its work is done by another."""
    return f"SET LOCAL idle_in_transaction_session_timeout = '{FROZEN_AFTER}'"


@contextmanager
def one_snapshot(*, of_watched: bool = False, nowait: bool = False) -> Iterator[None]:
    """Everything read inside shows one committed state of the database; nothing may be written.

    Of the log's own tables, unless it is told that watched ones are read: then it may raise `GaveWay`, with
    `nowait` at once.
    """
    if connection.vendor == "postgresql":
        with _transaction() as cursor:
            isolated = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"
            if of_watched:
                _lock_watched([isolated, _for_a_frozen_one()], nowait=nowait)
            else:
                cursor.execute(isolated)
            yield
        return
    refuse_inside_transaction()
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")  # atomic() would begin IMMEDIATE and keep all writers out
        try:
            yield
        finally:
            cursor.execute("ROLLBACK")


@contextmanager
def briefly() -> Iterator[None]:
    """A small write that waits for nobody for long on PostgreSQL: then it raises `OperationalError`."""
    with transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(f"SET LOCAL lock_timeout = {PATIENCE_MS}")
        yield


@contextmanager
def at_once() -> Iterator[None]:
    """A small write that nobody waits for: it raises `OperationalError` where somebody else is in its way."""
    if connection.vendor == "postgresql":
        with briefly():
            yield
        return
    with connection.cursor() as cursor:
        (patience,) = cursor.execute("PRAGMA busy_timeout").fetchone()
        cursor.execute("PRAGMA busy_timeout = 0")
        try:
            with transaction.atomic():
                yield
        finally:
            cursor.execute(f"PRAGMA busy_timeout = {patience}")


def _head() -> str:
    return connection.ops.quote_name(Head._meta.db_table)


def _lock_watched(
    begin: Sequence[str], reading: Sequence[sql.Select] = (), *, nowait: bool = False
) -> list[list[sql.Row]]:
    """In one go with how the transaction begins, and with what is read first: that takes the snapshot."""
    tables = ", ".join(connection.ops.quote_name(table) for table in Watched().tables())
    mode = "ACCESS SHARE MODE NOWAIT" if nowait else "ACCESS SHARE MODE"
    patience = f"SET LOCAL statement_timeout = {PATIENCE_MS}"
    locking = [patience, f"LOCK TABLE {tables} IN {mode}", "SET LOCAL statement_timeout = DEFAULT"]
    try:
        return sql.read(*reading, after=[*begin, *locking])
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", None) not in (*HELD, *([TAKEN] if nowait else ())):
            raise
        raise GaveWay("somebody has a watched table for himself") from error
