"""How triggers look at rows in PostgreSQL: as JSON, which is made once.

As JSON no column is named where the database would know of it: so every column can be altered and dropped.
But to make that of a user takes longer than to write down a mark.
"""

from __future__ import annotations

from typing import Any, Final

from django.db.models import Field

OF_EVENT: Final = {"INSERT": ("NEW",), "UPDATE": ("OLD", "NEW"), "DELETE": ("OLD",)}
"""The rows that a row trigger looks at."""


def block(when: str, statements: str) -> str:
    """The body of a row trigger that fires then (`AFTER UPDATE`, …): `statements` about its rows."""
    those = OF_EVENT[when.removeprefix("AFTER ")]
    declared = " ".join(f"{_variable(row)} jsonb := to_jsonb({row});" for row in those)
    return f"DECLARE {declared} BEGIN {statements} RETURN NULL; END"


def said(row: str, field: Field[Any, Any]) -> str:
    """What a row says in a field, as text; `row`: `OLD` or `NEW` of a `block`, or what a query calls it."""
    # A bare name would be that of a column, where the table has one.
    as_json = _variable(row) if row in OF_EVENT["UPDATE"] else f"to_jsonb({row}.*)"
    return f"({as_json} ->> {literal(str(field.column))})"


def differs(field: Field[Any, Any]) -> str:
    """Whether the row that is says another thing than the one that was; nothing is not another nothing."""
    return f"{said('OLD', field)} IS DISTINCT FROM {said('NEW', field)}"


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _variable(row: str) -> str:
    return f"{row.lower()}_row"
