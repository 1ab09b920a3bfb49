"""The change log's triggers in the database: which are there, and how they come and go."""

from __future__ import annotations

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from authz_changelog.marks import triggers
from authz_changelog.marks.triggers import Trigger
from authz_changelog.marks.watched import Watched
from authz_changelog.models import Head


def tables_exist() -> bool:
    """False before the first migrations have run to their end."""
    return {*Watched().tables(), Head._meta.db_table}.issubset(connection.introspection.table_names())


def missing() -> list[Trigger]:
    """The triggers that should be installed and are not."""
    present = _present()
    return [trigger for trigger in triggers.wanted() if trigger.name not in present]


def install() -> int:
    """Make the installed triggers exactly the wanted ones; how many had to be created."""
    with transaction.atomic(), connection.cursor() as cursor:
        absent = missing()
        working = {trigger.name for trigger in triggers.wanted()} - {trigger.name for trigger in absent}
        for name, table in _present(enabled_only=False).items():
            if name not in working:
                _drop(cursor, name, table)
        for trigger in absent:
            for statement in triggers.create(trigger):
                cursor.execute(statement)
    return len(absent)


def uninstall() -> None:
    """Drop every trigger of the change log."""
    with transaction.atomic(), connection.cursor() as cursor:
        for name, table in _present(enabled_only=False).items():
            _drop(cursor, name, table)


def _drop(cursor: CursorWrapper, name: str, table: str) -> None:
    name, table = connection.ops.quote_name(name), connection.ops.quote_name(table)
    if connection.vendor == "postgresql":
        cursor.execute(f"DROP TRIGGER {name} ON {table}")
        cursor.execute(f"DROP FUNCTION IF EXISTS {name}()")
    else:
        cursor.execute(f"DROP TRIGGER {name}")


def _present(*, enabled_only: bool = True) -> dict[str, str]:
    """Names and tables of the change log's triggers that are there."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                "SELECT tgname, relname FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid"
                " WHERE starts_with(tgname, %s) AND pg_table_is_visible(tgrelid) AND tgenabled = ANY(%s)",
                [triggers.PREFIX, ["O", "A"] if enabled_only else ["O", "A", "R", "D"]],
            )
        else:
            cursor.execute(
                "SELECT name, tbl_name FROM sqlite_master"
                " WHERE type = 'trigger' AND substr(name, 1, %s) = %s",
                [len(triggers.PREFIX), triggers.PREFIX],
            )
        return dict(cursor.fetchall())
