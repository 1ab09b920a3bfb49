"""The databases that schedules run on: how they are made, put back, watched, and who waits for whom."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import dj_database_url
from django.db import connections

from lab.schedules import product
from lab.schedules.actors import Actor
from lab.schedules.catalogue import Writer
from lab.schedules.world import TABLES, USER, Row, Rows

FILLERS = {"password": "", "first_name": "", "last_name": "", "email": "", "is_staff": False}
JOINED = "2026-01-01"


def use(url: str) -> None:
    """Make it Django's default database, in every thread that asks from now on."""
    parsed = dj_database_url.parse(url, conn_max_age=None)
    settings = connections.settings["default"]
    sqlite = "sqlite" in parsed["ENGINE"]
    options = {"transaction_mode": "IMMEDIATE", "timeout": 0.2} if sqlite else {}
    if sqlite:
        options["init_command"] = "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;"
    connections.settings["default"] = {**settings, **parsed, "OPTIONS": options}
    del connections["default"]


@contextmanager
def default_database_kept() -> Iterator[None]:
    """In the end Django's default database is the one it was before."""
    ours, settings = connections["default"], connections.settings["default"]
    try:
        yield
    finally:
        connections.settings["default"] = settings
        connections["default"] = ours


class Database(ABC):
    """One database, Django's default one, that schedules run on one after another."""

    vendor: str

    @abstractmethod
    def restore(self, crowd: int, writers: Sequence[Writer]) -> None:
        """Make everything as it was before the first schedule; `writers` have been at it."""

    @abstractmethod
    def rows(self) -> Rows:
        """What is committed, right after a commit."""

    @abstractmethod
    def query(self, sql: str) -> list[tuple[Any, ...]]: ...

    @abstractmethod
    def waits_for(self, actor: Actor, others: Iterable[Actor]) -> set[str] | None:
        """Whom the actor, who is executing a statement, waits for; `None` when it is at work."""

    @abstractmethod
    def must_wait(self, actor: Actor, statement: str, others: Iterable[Actor]) -> bool:
        """Whether the statement is better not begun yet."""

    @abstractmethod
    def close(self) -> None: ...

    @abstractmethod
    def kill(self, actor: Actor) -> None: ...

    @abstractmethod
    def cancel(self, actor: Actor) -> None:
        """End the statement that it is executing."""

    @abstractmethod
    def abandon(self) -> None:
        """As `close`, whatever state its own connections are in; whoever is at work ends."""

    @abstractmethod
    def watch(self, *, exclusive: bool) -> None:
        """A schedule begins; `exclusive`: one of its writers locks tables so that nobody can read them."""

    @abstractmethod
    def unwatch(self) -> None:
        """It is over."""

    def log_after(self, revision: int) -> list[tuple[int, str]]:
        return self.query(
            f"SELECT revision, entities FROM authz_changelog_revision WHERE revision > {revision} ORDER BY 1"
        )

    def entities(self) -> product.Entities:
        """What the log keeps as the newest states."""
        found = self.query("SELECT kind, key, state FROM authz_changelog_entity")
        return {(kind, key): json.loads(state) if state else None for kind, key, state in found}

    def head(self) -> int:
        return int(self.query("SELECT revision FROM authz_changelog_head")[0][0])


def restoring(present: Rows, wanted: Rows) -> Iterator[str]:
    """The statements that make the world's tables hold what is wanted; they hold what is present."""
    for table, columns in reversed(TABLES.items()):
        if gone := set(map(tuple, present[table])) - set(wanted[table]):
            yield f"DELETE FROM {table} WHERE ({', '.join(columns)}) IN (VALUES {_values(gone)})"
    for table, columns in TABLES.items():
        if new := set(wanted[table]) - set(map(tuple, present[table])):
            more = {**FILLERS, "date_joined": JOINED} if table == USER else {}
            rows = [(*row, *more.values()) for row in sorted(new)]
            yield f"INSERT INTO {table} ({', '.join((*columns, *more))}) VALUES {_values(rows)}"


def _values(rows: Iterable[Row]) -> str:
    return ", ".join(f"({', '.join(map(literal, row))})" for row in rows)


def literal(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None or isinstance(value, int):
        return "NULL" if value is None else str(value)
    return "'" + str(value).replace("'", "''") + "'"
