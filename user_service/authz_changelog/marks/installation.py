"""The change log's triggers in the database: which are there, and how they come and go."""

# ruff: noqa: S608 (SQL from the names of our own triggers)
from __future__ import annotations

from typing import NamedTuple

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from authz_changelog.marks import descendants, triggers
from authz_changelog.marks.triggers import Trigger
from authz_changelog.marks.watched import Watched
from authz_changelog.models import Change, End, Head


class Present(NamedTuple):
    """A trigger of the change log that is there."""

    name: str
    table: str
    fires: bool
    """Always, for every row of the table and its partitions, whatever the role of the writer is."""
    source: str
    """What the database keeps of its definition."""


def tables_exist() -> bool:
    """False before the first migrations have run to their end."""
    ours = (Head._meta.db_table, End._meta.db_table, Change._meta.db_table)
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
    """The triggers that should be there, as they should be, and always fire, and do not."""
    working = {(each.name, each.table): each.source for each in _present() if each.fires}
    wanted = triggers.wanted()
    sources = triggers.sources(wanted)
    return [each for each in wanted if working.get((each.name, each.table)) != sources[each]]


def install() -> int:
    """Make the installed triggers exactly the wanted ones; how many had to be created."""
    with transaction.atomic(), connection.cursor() as cursor:
        absent = missing()
        _drop(cursor, keep=set(triggers.wanted()) - set(absent))
        for trigger in absent:
            for statement in triggers.create(trigger):
                cursor.execute(statement)
    return len(absent)


def uninstall() -> None:
    """Drop every trigger of the change log."""
    with transaction.atomic(), connection.cursor() as cursor:
        _drop(cursor, keep=set())


def _drop(cursor: CursorWrapper, keep: set[Trigger]) -> None:
    quoted = connection.ops.quote_name
    kept = {(trigger.name, trigger.table) for trigger in keep}
    gone = [each for each in _present() if (each.name, each.table) not in kept]
    for each in gone:
        on = f" ON {quoted(each.table)}" if connection.vendor == "postgresql" else ""
        cursor.execute(f"DROP TRIGGER {quoted(each.name)}{on}")
    if connection.vendor == "postgresql":
        for name in {each.name for each in gone} - {trigger.name for trigger in keep}:
            cursor.execute(f"DROP FUNCTION IF EXISTS {quoted(name)}()")


def _present() -> list[Present]:
    with connection.cursor() as cursor:
        cursor.execute(_on_postgresql() if connection.vendor == "postgresql" else _on_sqlite())
        return [Present(*row) for row in cursor.fetchall()]


def _on_postgresql() -> str:
    """What is cloned to partitions is no trigger of its own, but can be switched off there."""
    return (
        "SELECT tgname,"
        f" CASE WHEN heir.oid IS NULL THEN pg_class.relname::text ELSE {descendants.name()} END,"
        " tgenabled = 'A' AND tgqual IS NULL AND prosecdef AND NOT EXISTS (SELECT FROM pg_trigger AS clone"
        " WHERE clone.tgfoid = pg_trigger.tgfoid AND clone.tgparentid <> 0 AND clone.tgenabled <> 'A'),"
        " concat(array_to_string(proconfig, ', '), prosrc)"
        " FROM pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid JOIN pg_class ON pg_class.oid = tgrelid"
        " JOIN pg_namespace ON pg_namespace.oid = relnamespace"
        f" LEFT JOIN (SELECT DISTINCT below.oid FROM unnest({descendants.watched()}) AS root"
        f" CROSS JOIN LATERAL ({descendants.of('root')}) AS below) AS heir ON heir.oid = pg_class.oid"
        f" WHERE starts_with(tgname, '{triggers.PREFIX}') AND tgparentid = 0"
        " AND (heir.oid IS NOT NULL OR pg_table_is_visible(tgrelid))"
    )


def _on_sqlite() -> str:
    return (
        "SELECT name, tbl_name, TRUE, sql FROM sqlite_master"
        f" WHERE type = 'trigger' AND substr(name, 1, {len(triggers.PREFIX)}) = '{triggers.PREFIX}'"
    )
