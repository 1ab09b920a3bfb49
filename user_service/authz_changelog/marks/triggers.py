"""Triggers that mark an entity in the same transaction that changes it.

Signals would not do: `update()`, `bulk_create()` and raw SQL send none, `post_save` outside a transaction
comes after the commit, and deleting a group or permission sends nothing for those who held it.

A trigger's name carries a digest of its definition, so the names alone tell whether the right ones
are installed (`installation.py`).
"""

# ruff: noqa: S608 (this module writes SQL from the names of Django's own models)
from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.db.models import Field, Model

from authz_changelog import clock
from authz_changelog.marks.watched import GROUP, USER, Link, Watched, column
from authz_changelog.models import Entity, Mark

CHANNEL = "authz_changelog_marks"
"""PostgreSQL's NOTIFY channel: a transaction that left marks has committed."""
PREFIX = "authz_changelog_"
ROWS = {"INSERT": ("NEW",), "UPDATE": ("OLD", "NEW"), "DELETE": ("OLD",)}


@dataclass(frozen=True)
class Trigger:
    """`body` runs after `event` on `table`: for each row where `when` holds, or once per statement."""

    table: str
    event: str
    body: str
    when: str = ""
    each: str = "ROW"

    @property
    def name(self) -> str:
        definition = "\0".join((self.table, self.event, self.body, self.when, self.each))
        digest = hashlib.sha256(definition.encode()).hexdigest()[:8]
        return f"{PREFIX}{digest}_{self.event.lower()}_{self.table}"[:63]


def wanted() -> list[Trigger]:
    """Every trigger of the change log, for this database and this project's models."""
    watched = Watched()
    triggers = [
        *_on_rows(USER, watched.user._meta.pk, [watched.user._meta.pk, *watched.user_fields()]),
        *_on_rows(GROUP, watched.group._meta.pk, [watched.group._meta.pk]),
        *_on_link(USER, watched.user_permissions),
        *_on_link(USER, watched.memberships),
        *_on_link(GROUP, watched.group_permissions),
        *_on_permission(watched),
        *_on_content_type(watched),
    ]
    if connection.vendor == "postgresql":
        triggers += _on_truncate(watched)
        triggers.append(_notification())
    return triggers


def _on_rows(kind: str, key: Field[Any, Any], fields: list[Field[Any, Any]]) -> Iterator[Trigger]:
    """Mark the entity that a row is, or belongs to, when one of `fields` changes."""
    for event, rows in ROWS.items():
        selects = [f"SELECT '{kind}' AS kind, {_text(f'{row}.{_column(key)}')} AS entity" for row in rows]
        yield _marking(key.model, event, " UNION ".join(selects), fields)


def _on_link(kind: str, link: Link) -> Iterator[Trigger]:
    return _on_rows(kind, link.owner, [link.owner, link.target])


def _on_permission(watched: Watched) -> Iterator[Trigger]:
    """A renamed or deleted permission changes all who hold it."""
    permission = watched.permission
    key = permission._meta.pk
    fields = [key, column(permission, "codename"), column(permission, "content_type")]
    for event in ("UPDATE", "DELETE"):
        ids = ", ".join(f"{row}.{_column(key)}" for row in ROWS[event])
        yield _marking(permission, event, _holders(watched, ids), fields)


def _on_content_type(watched: Watched) -> Iterator[Trigger]:
    """Its app label is the first half of the permissions' labels."""
    content_type, permission = watched.content_type, watched.permission
    key = content_type._meta.pk
    for event in ("UPDATE", "DELETE"):
        ids = ", ".join(f"{row}.{_column(key)}" for row in ROWS[event])
        permissions = (
            f"SELECT {_column(permission._meta.pk)} FROM {_table(permission)}"
            f" WHERE {_column(column(permission, 'content_type'))} IN ({ids})"
        )
        holders = _holders(watched, permissions)
        yield _marking(content_type, event, holders, [key, column(content_type, "app_label")])


def _holders(watched: Watched, permissions: str) -> str:
    links = ((USER, watched.user_permissions), (GROUP, watched.group_permissions))
    return " UNION ".join(
        f"SELECT '{kind}' AS kind, {_text(_column(link.owner))} AS entity FROM {_table(link.through)}"
        f" WHERE {_column(link.target)} IN ({permissions})"
        for kind, link in links
    )


def _on_truncate(watched: Watched) -> Iterator[Trigger]:
    """TRUNCATE fires no row triggers and leaves no rows to look at: mark everything, known or present."""
    existing = (
        f"SELECT '{kind}', {_text(_column(model._meta.pk))} FROM {_table(model)}"
        for kind, model in ((USER, watched.user), (GROUP, watched.group))
    )
    everything = " UNION ".join((f"SELECT kind, key AS entity FROM {_table(Entity)}", *existing))
    for table in watched.tables():
        yield Trigger(table, "TRUNCATE", _insert(everything), each="STATEMENT")


def _notification() -> Trigger:
    return Trigger(Mark._meta.db_table, "INSERT", f"PERFORM pg_notify('{CHANNEL}', '')", each="STATEMENT")


def _marking(model: type[Model], event: str, entities: str, fields: list[Field[Any, Any]]) -> Trigger:
    when = ""
    if event == "UPDATE":
        differs = "IS DISTINCT FROM" if connection.vendor == "postgresql" else "IS NOT"
        when = " OR ".join(f"OLD.{_column(field)} {differs} NEW.{_column(field)}" for field in fields)
    return Trigger(model._meta.db_table, event, _insert(entities), when)


def _insert(entities: str) -> str:
    tx = "txid_current()" if connection.vendor == "postgresql" else "0"
    return (
        f"INSERT INTO {_table(Mark)} (kind, key, tx, marked_at)"
        f" SELECT kind, entity, {tx}, {clock.sql()} FROM ({entities}) AS touched"
    )


def _column(field: Field[Any, Any]) -> str:
    return connection.ops.quote_name(str(field.column))


def _table(model: type[Model]) -> str:
    return connection.ops.quote_name(model._meta.db_table)


def _text(expression: str) -> str:
    return f"CAST({expression} AS text)"


def create(trigger: Trigger) -> list[str]:
    """The statements that create it."""
    name, table = connection.ops.quote_name(trigger.name), connection.ops.quote_name(trigger.table)
    when = f" WHEN ({trigger.when})" if trigger.when else ""
    head = f"CREATE TRIGGER {name} AFTER {trigger.event} ON {table} FOR EACH {trigger.each}{when}"
    if connection.vendor != "postgresql":
        return [f"{head} BEGIN {trigger.body}; END"]
    # The search path is fixed so that writers with another one still reach our tables.
    function = (
        f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT"
        f" AS $body$ BEGIN {trigger.body}; RETURN NULL; END $body$"
    )
    return [function, f"{head} EXECUTE FUNCTION {name}()"]
