"""Whether every change has left its marks: are the triggers there, have they fired all the time?

That they are there now says little: they can be switched off, and on again after a change. So their
*fingerprint* is kept, and nothing is proved while the present one differs. What has changed tells which
tables must be compared with the log. It is made of the catalogue's rows:

* of a trigger and its function, the number of the transaction that wrote them last (`xmin`): whoever switches
  a trigger off and on again writes it;
* of a table, its identity, the file that it is in, and `xmin` of its columns. A statement that changes values
  without firing triggers (ALTER … USING) writes both, another file and a column. Another file alone keeps
  every row, as VACUUM FULL and CLUSTER do; a column alone too. TRUNCATE leaves a mark.
* the server's version: pg_upgrade makes all triggers anew, beside tables that keep their identities.

On SQLite it is the number of the schema, which every change of it raises.
"""

# ruff: noqa: S608 (SQL from the names of our own tables)
from __future__ import annotations

import json
from typing import NamedTuple

from django.db import connection

from authz_changelog.marks import installation, triggers
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
    marks, kept = (connection.ops.quote_name(model._meta.db_table) for model in (Mark, Fingerprint))
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT EXISTS (SELECT 1 FROM {marks}),"
            f" coalesce((SELECT text FROM {kept}) = ({_present()}), false)"
        )
        marked, unchanged = cursor.fetchone()
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


def keep(fingerprint: str) -> None:
    Fingerprint.objects.update_or_create(pk=1, defaults={"text": fingerprint})


def _changed(kept: list[list[object]], present: list[list[object]]) -> list[str]:
    """The tables in which values may have changed without a mark."""
    (version, *before), (version_now, *now) = kept, present
    if connection.vendor != "postgresql":
        return Watched().tables() if version != version_now else []
    identities = [[table[:2] for table in tables] for tables in (before, now)]
    if version != version_now and identities[0] == identities[1]:
        return []
    known = {table[0]: table for table in before}
    return [str(table[0]) for table in now if not _kept_its_rows(known.get(table[0]), table)]


def _kept_its_rows(before: list[object] | None, now: list[object]) -> bool:
    if before is None:
        return False
    _, identity, triggers_then, file, columns = before
    _, identity_now, triggers_now, file_now, columns_now = now
    if (identity, triggers_then) != (identity_now, triggers_now):
        return False
    return file == file_now or columns == columns_now


def _present() -> str:
    """A query for the present fingerprint: `[version, [table, identity, triggers, file, columns], …]`."""
    if connection.vendor != "postgresql":
        return "SELECT json_array(schema_version) FROM pragma_schema_version"
    names = (connection.ops.quote_name(table) for table in Watched().tables())
    tables = ", ".join(f"to_regclass('{name}')" for name in names)
    columns = "SELECT md5(string_agg(concat_ws(' ', attnum, xmin), ',' ORDER BY attnum)) FROM pg_attribute"
    ours = (
        "SELECT string_agg(concat_ws(' ', tgname, pg_trigger.oid, pg_trigger.xmin, tgenabled, pg_proc.xmin),"
        " ',' ORDER BY tgname) FROM pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid"
        f" WHERE tgrelid = pg_class.oid AND starts_with(tgname, '{triggers.PREFIX}')"
    )
    return (
        "SELECT (jsonb_build_array(current_setting('server_version_num')::int / 10000) || coalesce(jsonb_agg("
        f"jsonb_build_array(relname, pg_class.oid::text, ({ours}), relfilenode::text,"
        f" ({columns} WHERE attrelid = pg_class.oid AND attnum > 0)) ORDER BY relname), '[]'))::text"
        f" FROM unnest(ARRAY[{tables}]) AS watched JOIN pg_class ON pg_class.oid = watched"
    )
