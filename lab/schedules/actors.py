"""Actors: threads that go on by one statement at a time, when they are told to.

Each has a database connection of its own, as a process would. Before every statement, and before a commit, it
parks until the schedule lets it go on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

from django.db import connections
from psycopg.pq import TransactionStatus

NOTHING_HAPPENS = ("SET ", "SAVEPOINT", "RELEASE", "PRAGMA")
"""Before these nothing is to be gained by parking: where they lie makes no difference to others."""

Job = Callable[["Actor"], object]


class Killed(BaseException):
    """The actor dies where it is parked; its transaction is rolled back."""


@dataclass(frozen=True)
class Parked:
    """About to execute this."""

    statement: str


@dataclass(frozen=True)
class Ended:
    """The job is over, with a result or an error."""

    result: object = None
    error: BaseException | None = None


Event = Parked | Ended


class Actor:
    """One thread; all methods but `park` are for the thread that directs the schedule."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._database: Any = None
        self._began_to_write = False
        self._abandoned = False
        self._orders: SimpleQueue[Job | str] = SimpleQueue()
        self._events: SimpleQueue[Event] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=f"actor {name}", daemon=True)
        self._thread.start()

    def begin(self, job: Job) -> None:
        self._orders.put(job)

    def proceed(self) -> None:
        self._orders.put("proceed")

    def kill(self) -> None:
        self._orders.put("kill")

    def end(self) -> None:
        """The thread closes its connection and ends."""
        self._orders.put("end")
        self._thread.join(10)

    def abandon(self) -> None:
        """As `end`, whatever it is in the middle of: it is killed where it is parked, or would be next."""
        self._abandoned = True
        self.end()

    def event(self, seconds: float) -> Event | None:
        """What it came to, within so many seconds."""
        try:
            return self._events.get(timeout=seconds) if seconds else self._events.get_nowait()
        except Empty:
            return None

    @property
    def in_transaction(self) -> bool:
        raw = self._database and self._database.connection
        if raw is None:
            return False
        if self._database.vendor == "sqlite":
            return bool(raw.in_transaction)
        return not raw.closed and raw.info.transaction_status != TransactionStatus.IDLE

    @property
    def pid(self) -> int:
        """Of its server process, on PostgreSQL; 0 without a connection."""
        raw = self._database and self._database.connection
        return raw.info.backend_pid if raw is not None and not raw.closed else 0

    @property
    def writing(self) -> bool:
        """Whether it has what only one can have on SQLite."""
        return self._began_to_write and self.in_transaction

    def park(self, statement: str) -> None:
        """Wait to be told to go on; for the actor's own thread."""
        self._events.put(Parked(statement))
        if self._abandoned or self._orders.get() != "proceed":
            raise Killed

    def _work(self) -> None:
        self._database = connections["default"]
        self._database.__dict__["_commit"] = self._commit  # the one statement that no wrapper sees
        while not self._abandoned and (order := self._orders.get()) != "end":
            if callable(order):
                self._events.put(self._do(order))
        self._database.close()

    def _do(self, job: Job) -> Ended:
        database = self._database
        try:
            with database.execute_wrapper(self._before):
                return Ended(job(self))
        except (Exception, Killed) as error:
            return Ended(error=error)
        finally:
            if self.in_transaction or database.in_atomic_block or database.errors_occurred:
                database.in_atomic_block = False
                database.close()

    def _commit(self) -> None:
        self.park("COMMIT")
        type(self._database)._commit(self._database)

    def _before(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        if not sql.startswith(NOTHING_HAPPENS) or "LOCK TABLE" in sql:
            self.park(sql if not params or many else _readable(sql, params))
        if sql.startswith("BEGIN"):
            self._began_to_write = "IMMEDIATE" in sql
        return execute(sql, params, many, context)


def _readable(sql: str, params: Any) -> str:
    try:
        return sql % tuple(repr(each) for each in params)
    except (TypeError, ValueError):
        return sql
