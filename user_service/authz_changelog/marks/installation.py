"""The change log's triggers in the database: which are there, and how they come and go."""

from __future__ import annotations

from collections.abc import Iterator

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from authz_changelog.marks import triggers
from authz_changelog.marks.triggers import Trigger
from authz_changelog.marks.watched import Watched
from authz_changelog.models import End, Head

ALWAYS = "A"
"""A trigger fires whatever the role of the writer is (`tgenabled`)."""


def tables_exist() -> bool:
    """False before the first migrations have run to their end."""
    ours = (Head._meta.db_table, End._meta.db_table)
    return {*Watched().tables(), *ours}.issubset(connection.introspection.table_names())


def columns_exist() -> bool:
    """False in the middle of migrations that have not yet made the models' columns."""
    with connection.cursor() as cursor:
        return all(
            {str(field.column) for field in rule.fields}
            <= {column.name for column in connection.introspection.get_table_description(cursor, table)}
            for rule in triggers.rules()
            for table in [rule.model._meta.db_table]
        )


def missing() -> list[Trigger]:
    """The triggers that should be there and always fire, and do not."""
    firing = {name for name, _, how in _present() if how == ALWAYS}
    return [trigger for trigger in triggers.wanted() if trigger.name not in firing]


def install() -> int:
    """Make the installed triggers exactly the wanted ones; how many had to be created."""
    with transaction.atomic(), connection.cursor() as cursor:
        absent = missing()
        working = {trigger.name for trigger in triggers.wanted()} - {trigger.name for trigger in absent}
        _drop(cursor, keep=working)
        for trigger in absent:
            for statement in triggers.create(trigger):
                cursor.execute(statement)
    return len(absent)


def uninstall() -> None:
    """Drop every trigger of the change log."""
    with transaction.atomic(), connection.cursor() as cursor:
        _drop(cursor)


def _drop(cursor: CursorWrapper, keep: frozenset[str] | set[str] = frozenset()) -> None:
    quoted = connection.ops.quote_name
    for name, table, _ in list(_present()):
        if name in keep:
            continue
        if connection.vendor == "postgresql":
            cursor.execute(f"DROP TRIGGER {quoted(name)} ON {quoted(table)}")
            cursor.execute(f"DROP FUNCTION IF EXISTS {quoted(name)}()")
        else:
            cursor.execute(f"DROP TRIGGER {quoted(name)}")


def _present() -> Iterator[tuple[str, str, str]]:
    """Name and table of each trigger of the change log that is there, and how it fires."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                "SELECT tgname, relname, tgenabled FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid"
                " WHERE starts_with(tgname, %s) AND pg_table_is_visible(tgrelid)",
                [triggers.PREFIX],
            )
        else:
            cursor.execute(
                "SELECT name, tbl_name, %s FROM sqlite_master"
                " WHERE type = 'trigger' AND substr(name, 1, %s) = %s",
                [ALWAYS, len(triggers.PREFIX), triggers.PREFIX],
            )
        yield from cursor.fetchall()
