"""PostgreSQL: who waits for whom is asked of the server."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from django.core.management import call_command
from django.db import connections
from psycopg import errors

from lab.schedules import product, world
from lab.schedules.actors import Actor
from lab.schedules.catalogue import Writer
from lab.schedules.databases import Database, literal, restoring, use
from lab.schedules.world import CONTENT_TYPE, TABLES, Rows
from lab.stack.servers import PostgreSQL as Server

TEMPLATE = "explorer"
FIRST_FREE_KEY = 1000
SCHEDULES_PER_VACUUM = 200
SETTINGS: dict[str, str | int] = {
    "max_prepared_transactions": 10,
    # What costs time and changes nothing here.
    "autovacuum": "off",
    "jit": "off",
    "synchronous_commit": "off",
    "track_counts": "off",
    "update_process_title": "off",
    "wal_level": "minimal",
    "max_wal_senders": 0,
    "shared_buffers": "64MB",
}


@contextmanager
def server() -> Iterator[Server]:
    """A private server that has a template."""
    with Server(**SETTINGS) as running:
        url = running.create_database(TEMPLATE)
        use(url)
        call_command("migrate", verbosity=0)
        call_command("flush", verbosity=0, interactive=False)
        connections["default"].close()
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"DELETE FROM auth_permission; DELETE FROM {CONTENT_TYPE}")
            for (sequence,) in connection.execute(
                "SELECT oid::regclass FROM pg_class WHERE relkind = 'S'"
            ).fetchall():
                connection.execute(f"ALTER SEQUENCE {sequence} RESTART {FIRST_FREE_KEY}")
        yield running


def clone(running: Server, name: str) -> str:
    """A database of one's own; its URL."""
    with psycopg.connect(running.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
    return running.url_of(name)


class PostgreSQL(Database):
    vendor = "postgresql"

    def __init__(self, url: str) -> None:
        use(url)
        self._url = url
        self._control = psycopg.connect(url, autocommit=True)
        self._observer = _Observer(url)
        self._restoring: dict[int, list[str]] = {}
        """By the size of the crowd: what makes the log as it was."""
        self._schedules = 0
        product.prepare()

    def close(self) -> None:
        self._control.close()
        self._observer.close()
        connections["default"].close()

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        return self._control.execute(sql).fetchall()

    def restore(self, crowd: int, writers: Sequence[Writer]) -> None:
        for statement in (each for writer in writers for each in writer.undo):
            self._control.execute(statement)
        if any(writer.autocommit for writer in writers) or not self._restoring:
            self._forget_prepared()
        if crowd in self._restoring:
            self._fill(crowd, self._restoring[crowd])
        if crowd not in self._restoring:
            self._begin_anew(crowd)
        elif any(writer.schema for writer in writers):
            product.trust()  # nothing is to be compared: all is as it was
        self._schedules += 1
        if self._schedules % SCHEDULES_PER_VACUUM == 0:
            self._control.execute(f"VACUUM {', '.join((*TABLES, *product.TABLES))}")

    def _forget_prepared(self) -> None:
        """Transactions that were prepared and then given up would keep their locks for ever."""
        for (name,) in self.query("SELECT gid FROM pg_prepared_xacts WHERE database = current_database()"):
            self._control.execute(f"ROLLBACK PREPARED '{name}'")

    def _begin_anew(self, crowd: int) -> None:
        """The log takes in the world as it is, triggers and all; what it then keeps is what is restored."""
        self._fill(crowd, [])
        self._restoring[crowd] = self._taken_in()

    def _fill(self, crowd: int, log: list[str]) -> None:
        self._observer.watch(exclusive=False)
        statements = [*restoring(self._observer.rows(), world.initial(crowd)), *log]
        self._control.execute(";".join(statements))

    def _taken_in(self) -> list[str]:
        """The statements by which the log is again what it is now."""
        if not product.completed():
            product.mend()
        tables = [table for table in product.TABLES if table != product.FINGERPRINT]
        return [statement for table in tables for statement in self._copied(table)]

    def _copied(self, table: str) -> Iterator[str]:
        described = self._control.execute(f"SELECT * FROM {table} LIMIT 0").description
        columns = [column.name for column in described or ()]
        rows = self.query(f"SELECT {', '.join(f'{column}::text' for column in columns)} FROM {table}")
        yield f"DELETE FROM {table}"
        if rows:
            values = ", ".join(f"({', '.join(map(literal, row))})" for row in rows)
            yield f"INSERT INTO {table} ({', '.join(columns)}) VALUES {values}"

    def waits_for(self, actor: Actor, others: Iterable[Actor]) -> set[str] | None:
        blocking = set(self.query(f"SELECT pg_blocking_pids({actor.pid})")[0][0])
        if 0 in blocking:  # a prepared transaction, which bears the number of its process
            prepared = self.query("SELECT gid FROM pg_prepared_xacts WHERE database = current_database()")
            blocking |= {int(name.rpartition(" ")[2]) for (name,) in prepared}
        if blocking == {self._observer.pid}:
            self._observer.release()
            return None
        return {other.name for other in others if other.pid in blocking} or None

    def must_wait(self, actor: Actor, statement: str, others: Iterable[Actor]) -> bool:
        return False

    def kill(self, actor: Actor) -> None:
        self.query(f"SELECT pg_terminate_backend({actor.pid})")
        actor.proceed()

    def cancel(self, actor: Actor) -> None:
        self.query(f"SELECT pg_cancel_backend({actor.pid})")

    def abandon(self) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        self.close()

    def watch(self, *, exclusive: bool) -> None:
        self._observer.watch(exclusive=exclusive)

    def unwatch(self) -> None:
        self._observer.release()

    def rows(self) -> Rows:
        return self._observer.rows()


class _Observer:
    """Reads what is committed, also where a table is about to be locked.

    A writer that wants a table for itself gets it the moment another one has committed, before anybody can
    see what that one did. So the observer holds the tables too, lets go when a writer waits for nobody else,
    and remembers what was in those it has let go: nobody else can change them meanwhile.
    """

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True)
        self.pid = self._connection.info.backend_pid
        self._exclusive = False
        self._held: list[str] = []
        self._last: Rows = {}

    def close(self) -> None:
        self._connection.close()

    def watch(self, *, exclusive: bool) -> None:
        self._exclusive = exclusive
        self._last = {}

    def rows(self) -> Rows:
        if self._exclusive:
            self._hold()
        self._last |= self._read(self._held if self._exclusive else list(TABLES))
        return dict(self._last)

    def release(self) -> None:
        if self._held:
            self._connection.execute("ROLLBACK")
            self._held = []

    def _hold(self) -> None:
        for table in TABLES:
            if table not in self._held and self._locked(table):
                self._held.append(table)

    def _locked(self, table: str) -> bool:
        if not self._held:
            self._connection.execute("BEGIN")
        self._connection.execute("SAVEPOINT each")
        try:
            self._connection.execute(f"LOCK TABLE {table} IN ACCESS SHARE MODE NOWAIT")
        except errors.LockNotAvailable:
            self._connection.execute("ROLLBACK TO SAVEPOINT each")
            if not self._held:
                self._connection.execute("ROLLBACK")
            return False
        return True

    def _read(self, tables: list[str]) -> Rows:
        if not tables:
            return {}
        each = ", ".join(
            f"'{table}', (SELECT json_agg(json_build_array({', '.join(TABLES[table])})) FROM {table})"
            for table in tables
        )
        [(found,)] = self._connection.execute(f"SELECT json_build_object({each})").fetchall()
        return {table: rows or [] for table, rows in found.items()}
