"""Whether every change has left its marks: are the triggers there, have they fired all the time?

That they are there now says little: they can be switched off, and on again after a change. So their
*fingerprint* is kept, and nothing is proved while the present one differs. What has changed tells which
tables must be compared with the log. It is made of the catalogue's rows:

* of a trigger and its function, the number of the transaction that wrote them last (`xmin`): whoever switches
  a trigger off and on again writes it;
* of a table, its identity, the file that it is in, `xmin` of its columns, and which of them have the watched
  names. A statement that changes values without firing triggers writes both, another file and a column
  (ALTER … USING), or gives a watched name to another column (DROP and ADD, RENAME). Another file alone keeps
  every row, as VACUUM FULL and CLUSTER do; a column alone too. TRUNCATE leaves a mark.
* all that of its partitions and of tables that inherit from it: one that comes, goes or is truncated is seen.
* the server's version: pg_upgrade makes all triggers anew, beside tables that keep their identities.

On SQLite it is the number of the schema, which every change of it raises.
"""

# ruff: noqa: S608 (SQL from the names of our own tables)
from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

from django.db import connection

from authz_changelog import sql
from authz_changelog.marks import descendants, installation, rows, triggers
from authz_changelog.marks.watched import Watched
from authz_changelog.models import Fingerprint, Mark


class Glance(NamedTuple):
    marked: bool
    unchanged: bool


class Review(NamedTuple):
    """`broken`: tables whose triggers are not there or do not fire. `changed`: what must be compared."""

    broken: list[str]
    changed: list[str]
    fingerprint: str


def glance() -> Glance:
    """The cheap look, one query: is anything marked, is the fingerprint the one that is kept?"""
    ((marked, unchanged),) = sql.planned_once(
        f"SELECT EXISTS (SELECT 1 FROM {sql.table(Mark)}),"
        f" coalesce((SELECT text FROM {sql.table(Fingerprint)}) = ({_present()}), false)"
    )
    return Glance(bool(marked), bool(unchanged))


def review() -> Review:
    """What has become of each table since the fingerprint was kept."""
    tables = Watched().tables()
    with connection.cursor() as cursor:
        cursor.execute(_present())
        present = str(cursor.fetchone()[0])
    there = set(connection.introspection.table_names())
    broken = {table for table in tables if table not in there}
    broken |= {trigger.table for trigger in installation.missing()}
    kept = Fingerprint.objects.values_list("text", flat=True).first()
    changed = _changed(json.loads(kept), json.loads(present)) if kept else tables
    return Review(sorted(broken), sorted(set(changed) - broken), present)


def keep(fingerprint: str) -> bool:
    """Whether another was kept before."""
    _, first = Fingerprint.objects.update_or_create(pk=1, defaults={"text": fingerprint})
    return not first


def _changed(kept: list[list[object]], present: list[list[object]]) -> list[str]:
    """The tables in which values may have changed without a mark."""
    (version, *before), (version_now, *now) = kept, present
    if connection.vendor != "postgresql":
        return Watched().tables() if version != version_now else []
    identities = [[table[:2] for table in tables] for tables in (before, now)]
    if version != version_now and identities[0] == identities[1]:
        return []
    known = {table[0]: table for table in before}
    return [str(table[0]) for table in now if not _kept_its_rows(known.get(table[0], ()), table)]


def _kept_its_rows(before: Sequence[object], now: Sequence[object]) -> bool:
    """Also false where an older version of ours has kept less."""
    *same, file, columns = before or (None, None)
    *same_now, file_now, columns_now = now
    return same == same_now and (file == file_now or columns == columns_now)


def _present() -> str:
    """A query for the present fingerprint: `[version, [table, identity, …, file, columns], …]`."""
    if connection.vendor != "postgresql":
        return "SELECT json_array(schema_version) FROM pragma_schema_version"
    below = (
        f"SELECT md5(string_agg(concat_ws(' ', oid, relfilenode, ({_triggers('each.oid')}),"
        f" ({_columns('each.oid')})), ',' ORDER BY oid)) FROM pg_class AS each"
        f" WHERE oid IN ({descendants.of('pg_class.oid')})"
    )
    return (
        "SELECT (jsonb_build_array(current_setting('server_version_num')::int / 10000) || coalesce(jsonb_agg("
        f"jsonb_build_array(relname, pg_class.oid::text, ({_triggers('pg_class.oid')}), ({_named()}),"
        f" CASE WHEN relhassubclass THEN ({below}) END, relfilenode::text, ({_columns('pg_class.oid')}))"
        " ORDER BY relname), '[]'))::text"
        f" FROM unnest({descendants.watched()}) AS watched JOIN pg_class ON pg_class.oid = watched"
    )


def _triggers(table: str) -> str:
    return (
        "SELECT string_agg(concat_ws(' ', tgname, pg_trigger.oid, pg_trigger.xmin, tgenabled, pg_proc.xmin),"
        " ',' ORDER BY tgname) FROM pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid"
        f" WHERE tgrelid = {table} AND starts_with(tgname, '{triggers.PREFIX}')"
    )


def _columns(table: str) -> str:
    return (
        "SELECT md5(string_agg(concat_ws(' ', attnum, xmin), ',' ORDER BY attnum)) FROM pg_attribute"
        f" WHERE attrelid = {table} AND attnum > 0"
    )


def _named() -> str:
    """Which columns have the watched names."""
    names = {str(field.column) for rule in triggers.rules() for field in rule.fields}
    listed = ", ".join(rows.literal(name) for name in sorted(names))
    return (
        "SELECT string_agg(concat_ws(' ', attname, attnum), ',' ORDER BY attnum) FROM pg_attribute"
        f" WHERE attrelid = pg_class.oid AND attnum > 0 AND attname IN ({listed})"
    )
