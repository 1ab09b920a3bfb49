"""Triggers that mark an entity in the same transaction that changes it, and tell of it (`recording`).

Signals would not do: `update()`, `bulk_create()` and raw SQL send none, `post_save` outside a transaction
comes after the commit, and deleting a group or permission sends nothing for those who held it.

They are in nobody's way. On PostgreSQL they name no column where the database would know of it, and look at
rows as JSON, so that every column can be altered or dropped; a row whose key is not where it was marks
everything. They always fire, also for replication and restores (`ENABLE ALWAYS`), and write to our table
whatever the writer's search path, privileges or temporary tables are. SQLite fires no trigger for a row that
REPLACE removes: there triggers that fire before look for rows that have the new row's unique keys. Whether
REPLACE or IGNORE is at work they cannot see; only after the former there is a new row (`_on_replaced`).

A trigger's name carries a digest of its definition; whether it is still what it was is seen by what the
database keeps of it (`installation.py`).
"""

# ruff: noqa: S608 (this module writes SQL from the names of Django's own models)
from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from django.db import connection
from django.db.models import Field, Model

from authz_changelog import clock
from authz_changelog.marks import descendants, ends, recording, rows, unique_keys
from authz_changelog.marks.kinds import (
    ALL,
    BORN,
    CONTENT_TYPE,
    ENDED,
    ENTITIES,
    GROUP,
    PERMISSION,
    USER,
)
from authz_changelog.marks.watched import Link, Watched, column
from authz_changelog.models import Mark

PREFIX = "authz_changelog_"
ASKED = -1
"""On SQLite, the number of a transaction in which a row may have been replaced."""
GAIN = f"marked.kind IN ('{USER}', '{GROUP}')"
"""Of the marks of an added row: who has gained by it, and cannot have lost. A group that is born (`BORN`) may
be another one than its members belonged to."""


@dataclass(frozen=True)
class Trigger:
    """`body` runs `when` (`AFTER UPDATE`, …) something happens to `table`; `each` row, or once.

    Its statement's rows may be a table in it: `NEW TABLE AS …`.
    """

    table: str
    when: str
    body: str
    each: str = "ROW"
    referencing: str = ""

    @property
    def name(self) -> str:
        definition = "\0".join((self.table, self.when, self.body, self.each, self.referencing))
        digest = hashlib.sha256(definition.encode()).hexdigest()[:8]
        table = self.table.replace('"', "")
        return f"{PREFIX}{digest}_{self.when.lower().replace(' ', '_')}_{table}"[:63]


class Rule(NamedTuple):
    """A row of the `key` field's table marks what has this kind and key, when one of `fields` changes.

    Before that, the row that was is marked as `ended`, and the row that is as `born`, if so named.
    """

    kind: str
    key: Field[Any, Any]
    fields: tuple[Field[Any, Any], ...]
    ended: str = ""
    born: str = ""

    def kinds(self, row: str) -> list[str]:
        """What a row is marked as: the one that is (`NEW`), or one that was."""
        return [kind for kind in (self.born if row == "NEW" else self.ended, self.kind) if kind]

    @property
    def model(self) -> type[Model]:
        return self.key.model


def rules() -> list[Rule]:
    watched = Watched()
    permission, content_type = watched.permission, watched.content_type
    label = (column(permission, "codename"), column(permission, "content_type"))
    return [
        _of(USER, watched.user._meta.pk, *_subject(watched), *watched.user_fields()),
        _of(GROUP, watched.group._meta.pk)._replace(ended=ENDED, born=BORN),
        *(_of_link(USER, link) for link in (watched.user_permissions, watched.memberships)),
        _of_link(GROUP, watched.group_permissions),
        _of(PERMISSION, permission._meta.pk, *label),
        _of(CONTENT_TYPE, content_type._meta.pk, column(content_type, "app_label")),
    ]


def _subject(watched: Watched) -> list[Field[Any, Any]]:
    return [subject.field for subject in watched.subjects if not subject.field.primary_key]


def _of(kind: str, key: Field[Any, Any], *others: Field[Any, Any]) -> Rule:
    return Rule(kind, key, (key, *others))


def _of_link(kind: str, link: Link) -> Rule:
    return Rule(kind, link.owner, (link.owner, link.target))


def concerned(table: str) -> str:
    """The kind of entity whose states are made of this table's rows; empty when both are."""
    (kind,) = (rule.kind for rule in rules() if rule.model._meta.db_table == table)
    return kind if kind in ENTITIES else ""


def wanted() -> list[Trigger]:
    """Every trigger of the change log, for this database and this project's models."""
    on_ends = [Trigger(*ending) for ending in ends.endings(Watched())]
    if connection.vendor == "postgresql":
        schema, heirs = _schema(), descendants.heirs()
        on_changes = (trigger for rule in rules() for trigger in _on_postgresql(rule, schema))
        found = list(_together([*on_ends, *on_changes]))
        return [*found, *(replace(each, table=heir) for each in found for heir in heirs[each.table])]
    marking = [trigger for rule in rules() for trigger in (*_on_sqlite(rule), *_on_replaced(rule))]
    return [*on_ends, *marking]


def create(trigger: Trigger) -> list[str]:
    """The statements that create it."""
    name, table = connection.ops.quote_name(trigger.name), connection.ops.quote_name(trigger.table)
    referencing = f" REFERENCING {trigger.referencing}" if trigger.referencing else ""
    head = f"CREATE TRIGGER {name} {trigger.when} ON {table}{referencing} FOR EACH {trigger.each}"
    if connection.vendor != "postgresql":
        return [f"{head} {trigger.body}"]
    function = (
        f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER"
        f" SET search_path = {_path(_schema())} AS $body$ {trigger.body} $body$"
    )
    return [
        function,
        f"{head} EXECUTE FUNCTION {name}()",
        f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}",
    ]


def sources(those: list[Trigger]) -> dict[Trigger, str]:
    """What the database keeps of each that was created so: its statement, or its function's path and body."""
    if connection.vendor != "postgresql":
        return {trigger: create(trigger)[0] for trigger in those}
    path = _path(_schema())
    return {trigger: f"search_path={path} {trigger.body} " for trigger in those}


# PostgreSQL


def _together(those: Iterable[Trigger]) -> Iterator[Trigger]:
    """One trigger does all that is to be done about a row; until here its bodies are statements only."""
    about_rows: dict[tuple[str, str], list[str]] = {}
    for each in those:
        if each.each == "ROW":
            about_rows.setdefault((each.table, each.when), []).append(each.body)
        else:
            yield each
    for (table, when), statements in about_rows.items():
        yield Trigger(table, when, rows.block(when, " ".join(statements)))


def _on_postgresql(rule: Rule, schema: str) -> Iterator[Trigger]:
    table = rule.model._meta.db_table
    for event in rows.OF_EVENT:
        marks = f"{_insert(_marked(rule, event), schema, gain=_gain(event))};"
        if event == "UPDATE":
            told = recording.of_row(rule.model, event, schema)
            marks = f"IF {' OR '.join(map(rows.differs, rule.fields))} THEN {marks} {told}; END IF;"
        yield Trigger(table, f"AFTER {event}", marks)
    for event, image in (("INSERT", "NEW"), ("DELETE", "OLD")):
        told = recording.of_statement(rule.model, event, schema)
        referencing = f"{image} TABLE AS {recording.STATED}"
        yield Trigger(table, f"AFTER {event}", told, each="STATEMENT", referencing=referencing)
    # TRUNCATE fires no row triggers, and leaves no rows to look at.
    everything = f"SELECT '{ALL}', '{concerned(table)}'"
    told = recording.of_all(rule.model, schema)
    body = f"BEGIN {_insert(everything, schema)}; {told}; RETURN NULL; END"
    yield Trigger(table, "AFTER TRUNCATE", body, each="STATEMENT")


def _marked(rule: Rule, event: str) -> str:
    """Kinds and keys; each once, also when both rows are of the same."""
    keys = " UNION ALL ".join(
        f"SELECT '{kind}' AS kind, {rows.said(row, rule.key)} AS key"
        + (f" WHERE {rows.differs(rule.key)}" if (event, row) == ("UPDATE", "NEW") else "")
        for row in rows.OF_EVENT[event]
        for kind in rule.kinds(row)
    )
    kind = f"CASE WHEN key IS NULL THEN '{ALL}' ELSE kind END AS kind"
    return f"SELECT {kind}, coalesce(key, '') FROM ({keys}) AS touched"


def _path(schema: str) -> str:
    return f"pg_catalog, {schema}, pg_temp"


def _schema() -> str:
    """Where our tables are, as SQL spells it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT quote_ident(nspname) FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace"
            " WHERE relname = %s AND nspname = ANY(current_schemas(false))"
            " ORDER BY array_position(current_schemas(false), nspname) LIMIT 1",
            [Mark._meta.db_table],
        )
        return str(cursor.fetchone()[0])


# SQLite


def _on_sqlite(rule: Rule) -> Iterator[Trigger]:
    table = rule.model._meta.db_table
    for event, those in rows.OF_EVENT.items():
        keys = " UNION ".join(
            f"SELECT '{kind}' AS kind, {_text(row, rule.key)}" for row in those for kind in rule.kinds(row)
        )
        when = _differs(map(_column, rule.fields)) if event == "UPDATE" else ""
        told = recording.of_row(rule.model, event)
        yield Trigger(table, f"AFTER {event}", f"{when}BEGIN {_insert(keys, gain=_gain(event))}; {told}; END")


def _on_replaced(rule: Rule) -> Iterator[Trigger]:
    """Mark what has a unique key of the new row: REPLACE removes it, IGNORE does not.

    Its kind would be the same either way, but not whether it has ended: that is asked, and answered by the
    trigger that fires after. What is never answered is a mark like others.
    """
    table, asks = rule.model._meta.db_table, bool(rule.born)
    keys = unique_keys.of(table)
    for event in ("INSERT", "UPDATE"):
        other = " AND gone.rowid IS NOT OLD.rowid" if event == "UPDATE" else ""
        gone = " UNION ".join(
            f"SELECT '{rule.kind}', {_text('gone', rule.key)} FROM {connection.ops.quote_name(table)} AS gone"
            f" WHERE {key.same}{other}"
            for key in keys
        )
        columns = unique_keys.columns(keys)
        when = _differs(columns) if event == "UPDATE" and columns else ""
        marks = f"{_settled()}; {_insert(gone, tx=ASKED)}" if asks else _insert(gone)
        yield Trigger(table, f"BEFORE {event}", f"{when}BEGIN {marks}; END")
        if asks:
            ended = " UNION ".join(
                f"SELECT '{kind}', key FROM {_marks()} WHERE tx = {ASKED}" for kind in (rule.ended, rule.born)
            )
            yield Trigger(table, f"AFTER {event}", f"{when}BEGIN {_insert(ended)}; {_settled()}; END")


def _settled() -> str:
    return f"UPDATE {_marks()} SET tx = 0 WHERE tx = {ASKED}"


def _differs(columns: Any) -> str:
    """Byte by byte: a column's own collation may take two subjects for one."""
    return f"WHEN {' OR '.join(f'OLD.{name} IS NOT NEW.{name} COLLATE BINARY' for name in columns)} "


def _text(row: str, field: Field[Any, Any]) -> str:
    return f"CAST({row}.{_column(field)} AS text)"


def _column(field: Field[Any, Any]) -> str:
    return connection.ops.quote_name(str(field.column))


# Both


def _marks(schema: str = "") -> str:
    return f"{schema}{'.' if schema else ''}{connection.ops.quote_name(Mark._meta.db_table)}"


def _gain(event: str) -> str:
    return GAIN if event == "INSERT" else "FALSE"


def _insert(kinds_and_keys: str, schema: str = "", tx: int = 0, gain: str = "FALSE") -> str:
    """PostgreSQL has schemas, and numbers transactions."""
    number = "txid_current()" if schema else tx
    return (
        f"INSERT INTO {_marks(schema)} (kind, key, gain, tx, marked_at)"
        f" SELECT marked.*, {gain}, {number}, {clock.sql()} FROM ({kinds_and_keys}) AS marked"
    )
