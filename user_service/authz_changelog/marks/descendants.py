"""Tables whose rows PostgreSQL reads with a watched table's: its partitions, and what inherits from it.

Triggers for rows fire on partitions, too. A table that inherits needs triggers of its own. What no trigger
tells, a partition that comes, goes or is truncated, is seen in the fingerprint (`integrity`).
"""

# ruff: noqa: S608 (SQL from the names of Django's own models)
from __future__ import annotations

from collections import defaultdict

from django.db import connection

from authz_changelog.marks.watched import Watched


def of(root: str) -> str:
    """The query for their identities (`oid`); `root` is an SQL expression for the watched table's."""
    return (
        f"WITH RECURSIVE below AS (SELECT inhrelid AS oid FROM pg_inherits WHERE inhparent = {root}"
        " UNION SELECT inhrelid FROM pg_inherits JOIN below ON inhparent = below.oid) SELECT oid FROM below"
    )


def watched() -> str:
    """An array of the identities of the watched tables, for SQL."""
    names = map(connection.ops.quote_name, Watched().tables())
    return "ARRAY[{}]".format(", ".join(f"to_regclass('{name}')::oid" for name in names))


def heirs() -> dict[str, list[str]]:
    """By watched table: those that inherit from it and are no partitions, as `name` spells them."""
    found: dict[str, list[str]] = defaultdict(list)
    if connection.vendor != "postgresql":
        return found
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT root.relname, {name()} FROM pg_class AS root"
            f" CROSS JOIN LATERAL ({of('root.oid')}) AS heir JOIN pg_class ON pg_class.oid = heir.oid"
            " JOIN pg_namespace ON pg_namespace.oid = pg_class.relnamespace"
            f" WHERE root.relhassubclass AND root.oid = ANY({watched()}) AND NOT pg_class.relispartition"
            " ORDER BY 2"
        )
        for table, heir in cursor.fetchall():
            found[table].append(heir)
    return found


def name() -> str:
    """How an heir is spelled, whatever the search path is; Django takes a quoted name as it is."""
    return 'format(\'"%s"."%s"\', nspname, pg_class.relname)'
