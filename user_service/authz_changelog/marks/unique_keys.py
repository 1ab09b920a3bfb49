"""The unique keys of a table on SQLite: a row that has one of a new row's is the one that REPLACE removes.

Two rows have the same key as the index compares them, in its collation. What an index of expressions compares
is computed for both, from its own text.
"""

# ruff: noqa: S608 (SQL from the names of Django's own models)
from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from django.db import connection
from django.db.backends.utils import CursorWrapper

PIECE = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|`[^`]*`|\[[^\]]*\]|--[^\n]*|/\*.*?\*/|.", re.DOTALL)
"""What is not looked into, or one character."""
ORDER = re.compile(r"\s+(ASC|DESC)\s*$", re.IGNORECASE)


class UniqueKey(NamedTuple):
    same: str
    """The condition that the row `gone` has the key that `NEW` has."""
    columns: tuple[str, ...]
    """What it is made of, quoted; nothing where expressions are."""


def of(table: str) -> list[UniqueKey]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM pragma_table_info(%s) WHERE pk > 0 ORDER BY pk", [table])
        primary = [_quoted(name) for (name,) in cursor.fetchall()]
        cursor.execute(
            "SELECT each.name, sql FROM pragma_index_list(%s) AS each JOIN sqlite_master AS known"
            " ON known.name = each.name AND type = 'index' WHERE \"unique\"",
            [table],
        )
        indexes = cursor.fetchall()
        row = _row(cursor, table)
        keys = {UniqueKey(" AND ".join(f"gone.{name} = NEW.{name}" for name in primary), tuple(primary))}
        keys |= {_of_index(cursor, name, sql or "", row) for name, sql in indexes}
    return sorted(key for key in keys if key.same)


def columns(keys: list[UniqueKey]) -> list[str]:
    """Those that all keys are made of; none where that is not known."""
    known = all(key.columns for key in keys)
    return sorted({column for key in keys for column in key.columns}) if known else []


def _of_index(cursor: CursorWrapper, index: str, sql: str, row: str) -> UniqueKey:
    cursor.execute("SELECT name, coll FROM pragma_index_xinfo(%s) WHERE key ORDER BY seqno", [index])
    found = cursor.fetchall()
    names = [name for name, _ in found]
    texts = list(_terms(sql)) if None in names else names
    same = " AND ".join(
        f"gone.{_quoted(name)} = NEW.{_quoted(name)} COLLATE {_quoted(collation)}"
        if name is not None
        else f"{text} COLLATE {_quoted(collation)} = (SELECT {text} FROM ({row}))"
        for (name, collation), text in zip(found, texts, strict=True)
    )
    return UniqueKey(same, () if None in names else tuple(map(_quoted, names)))


def _row(cursor: CursorWrapper, table: str) -> str:
    """The new row, with its columns as they are named where they stand in an index."""
    cursor.execute("SELECT name FROM pragma_table_xinfo(%s)", [table])
    names = [_quoted(name) for (name,) in cursor.fetchall()]
    return f"SELECT {', '.join(f'NEW.{name} AS {name}' for name in names)}"


def _terms(sql: str) -> Iterator[str]:
    """What CREATE INDEX lists in its parentheses: `a`, `lower(b)`."""
    depth, term = 0, ""
    for piece in PIECE.findall(sql):
        depth -= piece == ")"
        if depth == 0 and term:
            yield _term(term)
            return
        if depth == 1 and piece == ",":
            yield _term(term)
            term = ""
        elif depth:
            term += piece
        depth += piece == "("


def _term(text: str) -> str:
    return f"({ORDER.sub('', text.strip())})"


def _quoted(name: str) -> str:
    return connection.ops.quote_name(name)
