"""SQL of our own for what every change needs, made from the names of models.

Django would make a queryset's SQL anew each time, which takes longer than to execute it.
"""

# ruff: noqa: S608 (this module writes SQL from the names of Django's own models)
from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar
from weakref import WeakKeyDictionary

from django.db import ProgrammingError, connection, connections
from django.db.models import Field, Model

_plans: WeakKeyDictionary[Any, dict[str, str]] = WeakKeyDictionary()
"""By connection, what statements are called in it; empty for those that cannot be kept."""

_Model = TypeVar("_Model", bound=Model)
Row = tuple[Any, ...]
Statement = tuple[str, Sequence[Any]]
"""With its parameters."""


@lru_cache(maxsize=100)
def table(model: type[Model]) -> str:
    return connection.ops.quote_name(model._meta.db_table)


@lru_cache(maxsize=100)
def at(field: Field[Any, Any]) -> str:
    """The column of a field."""
    return f"{table(field.model)}.{connection.ops.quote_name(str(field.column))}"


def among(values: Collection[Any]) -> Statement:
    """What follows an expression that has one of these values, of which there are some.

    In one parameter, where there are lists: a driver looks at each one for longer than at what is in it.
    """
    if connection.vendor == "postgresql":
        return "= ANY(%s)", [list(values)]
    return f"IN ({', '.join(['%s'] * len(values))})", list(values)


def prepared(field: Field[Any, Any], values: Iterable[object]) -> list[Any]:
    """As the database has them."""
    database = connections[connection.alias]
    return [field.get_db_prep_value(value, database) for value in values]


def execute(statement: str, parameters: Sequence[Any] = ()) -> list[Row]:
    """The rows that it returns, as the database gives them."""
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters or None)
        return cursor.fetchall() if cursor.description else []


def changed(statement: str, parameters: Sequence[Any]) -> int:
    """How many rows it changes."""
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return int(cursor.rowcount)


def planned_once(statement: str) -> list[Row]:
    """The rows of a statement without parameters, that PostgreSQL would take longer to plan than to execute.

    Its plan is kept with the connection; not where connections are another's, as a pooler's may be.
    """
    connection.ensure_connection()
    if connection.vendor != "postgresql" or connection.in_atomic_block:
        return execute(statement)
    kept = _plans.setdefault(connection.connection, {})
    name = kept.get(statement, f"authz_{hashlib.sha256(statement.encode()).hexdigest()[:16]}")
    try:
        if name and statement not in kept:
            execute(f"PREPARE {name} AS {statement}")
        kept[statement] = name
        return execute(f"EXECUTE {name}" if name else statement)
    except ProgrammingError:
        kept[statement] = ""
        return execute(statement)


def together(statements: Sequence[Statement]) -> list[list[Row]]:
    """The rows of each, executed in this order: in one go, where the driver writes parameters into SQL."""
    if not statements:
        return []
    options = connection.settings_dict["OPTIONS"]
    if connection.vendor != "postgresql" or options.get("server_side_binding"):
        return [execute(*each) for each in statements]
    with connection.cursor() as cursor:
        parameters = [value for _, values in statements for value in values]
        cursor.execute(";".join(statement for statement, _ in statements), parameters or None)
        found = []
        for _ in statements:
            found.append(cursor.fetchall() if cursor.description else [])
            cursor.nextset()
    return found


class Select(NamedTuple):
    """Rows of the first field's table: these fields as Python has them, and other expressions as they are."""

    fields: Sequence[Field[Any, Any]]
    where: str
    parameters: Sequence[Any] = ()
    joins: str = ""
    also: Sequence[str] = ()

    def given(self, parameters: Sequence[Any]) -> Select:
        return self._replace(parameters=parameters)

    def statement(self) -> Statement:
        columns = ", ".join([*map(at, self.fields), *self.also])
        source = f"{table(self.fields[0].model)} {self.joins}"
        return f"SELECT {columns} FROM {source} WHERE {self.where}", self.parameters


def read(*those: Select, after: Sequence[str] = ()) -> list[list[Row]]:
    """The rows of each, after other statements that are executed in the same go."""
    found = together([*((each, ()) for each in after), *(each.statement() for each in those)])[len(after) :]
    return [converted(rows, each.fields) for each, rows in zip(those, found, strict=True)]


def converted(rows: list[Row], fields: Sequence[Field[Any, Any]]) -> list[Row]:
    """Values of these fields as Python has them, and others after them as they are."""
    each = [_converter(field, connection.vendor) for field in fields]
    if not any(each) or not rows:
        return rows
    each += [None] * (len(rows[0]) - len(fields))
    return [tuple(map(_apply, each, row)) for row in rows]


def instance(model: type[_Model], values: Sequence[Any]) -> _Model:
    """Of all its fields' values."""
    return model.from_db(connection.alias, [field.attname for field in model._meta.concrete_fields], values)


def _apply(convert: Callable[[Any], Any] | None, value: Any) -> Any:
    return value if convert is None else convert(value)


@lru_cache(maxsize=100)
def _converter(field: Field[Any, Any], vendor: str) -> Callable[[Any], Any] | None:
    """`None` where the database gives what Python has."""
    column: Any = field.get_col(field.model._meta.db_table)
    steps: list[Callable[..., Any]] = [
        *connection.ops.get_db_converters(column),
        *column.get_db_converters(connection),
    ]
    if not steps:
        return None

    def convert(value: Any) -> Any:
        for step in steps:
            value = step(value, column, connection)
        return value

    return convert
