"""Who is writing, as the writer's own session says: the author of every change that it makes.

A request, a command or a program has an author (`acting`, `asked_by`); otherwise a process that runs Django
is the program that it is. Before a statement that writes to a watched table the database is told its author:

* PostgreSQL: settings of the transaction. They end with it, and with the savepoint in which they were made:
  Django keeps what is to be done on commit just so long, so `_Said` is among it as long as they hold. A
  statement without a transaction gets one.
* SQLite: a trigger of the connection itself asks `authz_changelog_actor` for the author.

It is as true as the session that says it. A session that says nothing, as `psql` does, is SQL.
"""

# ruff: noqa: S608 (SQL from the name of our own table)
from __future__ import annotations

import getpass
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from django.db import DEFAULT_DB_ALIAS, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from authz_changelog.marks.recording import SETTING
from authz_changelog.marks.watched import Watched
from authz_changelog.models import Change

API, ADMIN, WEB, COMMAND, SHELL = "api", "admin", "web", "command", "shell"
"""Ways in which a change is made; none is SQL."""
WRITES = ("INSERT", "UPDATE", "DELETE", "MERGE", "REPLACE", "WITH", "TRUNCATE")
LONGEST = max(map(len, WRITES))
FUNCTION = "authz_changelog_actor"
_PARTS = ("actor", "actor_key", "way", "request")


class Actor(NamedTuple):
    """`key`: a user's primary key, if it is a user."""

    name: str
    key: str = ""
    way: str = COMMAND
    request: str = ""


_asked: ContextVar[Callable[[], Actor] | None] = ContextVar("authz_changelog_asked", default=None)
_writing: ContextVar[Actor | None] = ContextVar("authz_changelog_writing", default=None)


@contextmanager
def acting(name: str, *, way: str = COMMAND) -> Iterator[None]:
    """What is written inside is this program's doing: a task's, an import's."""
    with asked_by(lambda: Actor(name, way=way)):
        yield


@contextmanager
def asked_by(author: Callable[[], Actor]) -> Iterator[None]:
    """The same; who it is is asked when something is written."""
    token = _asked.set(author)
    try:
        yield
    finally:
        _asked.reset(token)


def attach(connection: BaseDatabaseWrapper, **_: object) -> None:
    """Let this connection say who is writing; again for one that is attached already."""
    if connection.alias != DEFAULT_DB_ALIAS:
        return
    if _saying not in connection.execute_wrappers:
        connection.execute_wrappers.insert(0, _saying)
    if connection.vendor == "sqlite":
        _attach_sqlite(connection)


def _saying(execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
    if not (isinstance(sql, str) and _writes(sql)):
        return execute(sql, params, many, context)
    author = (_asked.get() or _program)()
    connection = context["connection"]
    if connection.vendor == "postgresql":
        if _is_alone(connection):
            with transaction.atomic(using=connection.alias):
                _say(connection, author)
                return execute(sql, params, many, context)
        _say(connection, author)
        return execute(sql, params, many, context)
    token = _writing.set(author)
    try:
        return execute(sql, params, many, context)
    finally:
        _writing.reset(token)


def _is_alone(connection: BaseDatabaseWrapper) -> bool:
    """Whether a statement is a transaction of its own. Django knows of none that somebody began by SQL."""
    if connection.in_atomic_block or not connection.get_autocommit():
        return False
    idle: bool = connection.connection.info.transaction_status == 0
    return idle


def _writes(sql: str) -> bool:
    return sql.lstrip(" \n(")[:LONGEST].upper().startswith(WRITES) and any(map(sql.__contains__, _tables()))


@cache
def _tables() -> tuple[str, ...]:
    return tuple(Watched().tables())


# PostgreSQL


@dataclass(frozen=True)
class _Said:
    """Done on commit, it does nothing: that it is still to be done says that the settings hold."""

    author: Actor

    def __call__(self) -> None:
        pass


def _say(connection: BaseDatabaseWrapper, author: Actor) -> None:
    said = [entry[1] for entry in connection.run_on_commit if isinstance(entry[1], _Said)]
    if said and said[-1].author == author:
        return
    settings = ", ".join(f"set_config('{SETTING}{part}', %s, true)" for part in _PARTS)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {settings}", author)
    if connection.in_atomic_block:
        transaction.on_commit(_Said(author), using=connection.alias)


# SQLite


def _attach_sqlite(connection: BaseDatabaseWrapper) -> None:
    table = Change._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = %s", [table])
        if cursor.fetchone() is None:
            return  # before the first migrations
        connection.connection.create_function(FUNCTION, 1, _answer)
        parts = ", ".join(f"{part} = {FUNCTION}('{part}')" for part in _PARTS)
        cursor.execute(
            f"CREATE TEMP TRIGGER IF NOT EXISTS {FUNCTION} AFTER INSERT ON main.{table}"
            f" BEGIN UPDATE {table} SET {parts} WHERE id = NEW.id; END"
        )


def _answer(part: str) -> str:
    author = _writing.get()
    return "" if author is None else author[_PARTS.index(part)][:255]


# The program itself


@cache
def _program() -> Actor:
    """`manage.py import_people (deploy)`; a shell is told apart, what is typed is never kept."""
    name, *arguments = sys.argv or [""]
    program = Path(name).name
    if program == "__main__.py":
        program = Path(name).parent.name
    command = arguments[0] if arguments and program in ("manage.py", "django-admin", "django") else ""
    way = SHELL if command in ("shell", "dbshell", "shell_plus") else COMMAND
    return Actor(f"{f'{program} {command}'.strip()} ({_account()})", way=way)


def _account() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return "?"
