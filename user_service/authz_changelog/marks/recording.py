"""What triggers write down for people: whose row came or went, when, and by whose hand.

Marks say what may have changed and are spent; changes stay, also those that came and went between two runs of
the sequencer, from which no revision follows. A row is told by keys alone: what they were called is looked up
by whoever reads (`history.names`). Only a row that goes, or comes, takes its own name with it.

The author is what the writer's session says of itself (`actors`); who says nothing is SQL.

On PostgreSQL rows that are added or removed are told by statement: one that has more than `BULK` is one
change, with their number, so that an import costs nothing that counts. On SQLite, where a trigger sees one
row at a time, each is a change, and so is each updated row on both. What REPLACE removes on SQLite is not
told, only what it puts there.
"""

# ruff: noqa: S608 (this module writes SQL from the names of Django's own models)
from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from django.contrib.auth import get_user_model
from django.db import connection
from django.db.models import Field, Model

from authz_changelog import clock
from authz_changelog.marks import rows
from authz_changelog.marks.kinds import CONTENT_TYPE, GROUP, PERMISSION, USER
from authz_changelog.marks.watched import Link, Watched, column
from authz_changelog.models import Change

BULK = 1000
"""Rows of a statement, on PostgreSQL, of which each is told."""
ITSELF, ACTIVE, SUPERUSER, TOKENS, SUBJECT = "itself", "active", "superuser", "tokens", "subject"
"""What comes or goes, beside permissions and groups: the row's own entity, or what it says of a user. A
subject of another field than the main one is told by that field's name alone."""
SETTING = "authz_changelog."
"""Begins the names of a PostgreSQL session's settings that tell of its author."""
STATED = "authz_statement"
"""What a statement's rows are called in its trigger."""


class Recorded(NamedTuple):
    """A row of the `key` field's table gives its entity `what`, which is `item`; or is that entity itself."""

    kind: str
    key: Field[Any, Any]
    what: str
    item: Field[Any, Any] | None = None
    name: Field[Any, Any] | None = None
    subject: Field[Any, Any] | None = None

    @property
    def of_many(self) -> bool:
        """Many may hold it."""
        return self.kind in (PERMISSION, CONTENT_TYPE)

    @property
    def identity(self) -> list[Field[Any, Any]]:
        """When one of these changes, the row is told as another one."""
        renamed = self.name if self.of_many else self.subject
        others = (field for field in (self.item, renamed) if field is not None)
        return list(dict.fromkeys([self.key, *others]))


def recorded(model: type[Model]) -> Recorded:
    watched = Watched()
    permission, content_type = watched.permission, watched.content_type
    user_name = column(watched.user, get_user_model().USERNAME_FIELD)
    of_model = {
        watched.user: Recorded(USER, watched.user._meta.pk, ITSELF, name=user_name, subject=watched.subject),
        watched.group: Recorded(GROUP, watched.group._meta.pk, ITSELF, name=column(watched.group, "name")),
        permission: Recorded(
            PERMISSION,
            permission._meta.pk,
            ITSELF,
            column(permission, "content_type"),
            column(permission, "codename"),
        ),
        content_type: Recorded(
            CONTENT_TYPE, content_type._meta.pk, ITSELF, name=column(content_type, "app_label")
        ),
        watched.user_permissions.through: _held(USER, PERMISSION, watched.user_permissions),
        watched.memberships.through: _held(USER, GROUP, watched.memberships),
        watched.group_permissions.through: _held(GROUP, PERMISSION, watched.group_permissions),
    }
    return of_model[model]


def _held(kind: str, what: str, link: Link) -> Recorded:
    return Recorded(kind, link.owner, what, link.target)


def of_row(model: type[Model], event: str, schema: str = "") -> str:
    """The statement that tells of the row that a trigger is looking at."""
    row = recorded(model)
    if event != "UPDATE":
        came = event == "INSERT"
        facts = [_fact(row, "NEW" if came else "OLD", came=came), *(_born(model, "NEW") if came else ())]
    else:
        other = " OR ".join(_differs(field) for field in row.identity)
        facts = [f"{_fact(row, each, came=each == 'NEW')} WHERE {other}" for each in ("OLD", "NEW")]
        facts += _told_of_user(model)
    return _insert(" UNION ALL ".join(facts), schema, of_many=row.of_many)


def of_statement(model: type[Model], event: str, schema: str) -> str:
    """For PostgreSQL: the body of a trigger that tells of all rows of a statement."""
    row, came = recorded(model), event == "INSERT"
    facts = [_fact(row, STATED, came=came), *(_born(model, STATED) if came else ())]
    each = " UNION ALL ".join(_from_statement(fact) for fact in facts)
    return (
        f"DECLARE many bigint := (SELECT count(*) FROM {STATED}); BEGIN"
        f" IF many > {BULK} THEN {_insert(_bulk(row, came=came), schema, 'many')};"
        f" ELSE {_insert(each, schema, of_many=row.of_many)}; END IF; RETURN NULL; END"
    )


def of_all(model: type[Model], schema: str) -> str:
    """For PostgreSQL: the statement that tells of TRUNCATE."""
    return _insert(_bulk(recorded(model), came=False), schema, "0")


def _from_statement(fact: str) -> str:
    before, where, condition = fact.partition(" WHERE ")
    return f"{before} FROM {STATED}{where}{condition}"


def _bulk(row: Recorded, *, came: bool) -> str:
    return f"SELECT '{row.kind}', '', {came}, '{row.what}', '', ''"


def _fact(row: Recorded, alias: str, *, came: bool) -> str:
    item, name = (_text(alias, field) for field in (row.item, row.name))
    return f"SELECT '{row.kind}', {_text(alias, row.key)}, {came}, '{row.what}', {item}, {name}"


def _born(model: type[Model], alias: str) -> Iterator[str]:
    """Who is a superuser from the first is told to become one."""
    flag = _user_fields(model).get("is_superuser")
    if flag is not None:
        key = _text(alias, model._meta.pk)
        yield f"SELECT '{USER}', {key}, TRUE, '{SUPERUSER}', '', '' WHERE {_true(alias, flag)}"


def _told_of_user(model: type[Model]) -> Iterator[str]:
    """What an update of a user says of it; tokens only ever go, and another subject only ever comes."""
    fields = _user_fields(model)
    for name, what in (("is_active", ACTIVE), ("is_superuser", SUPERUSER), ("token_generation", TOKENS)):
        if (field := fields.get(name)) is not None:
            came = "FALSE" if what == TOKENS else _true("NEW", field)
            key = _text("NEW", model._meta.pk)
            yield f"SELECT '{USER}', {key}, {came}, '{what}', '', '' WHERE {_differs(field)}"
    for subject in Watched().other_subjects if fields else ():
        if not subject.field.primary_key:
            key = _text("NEW", model._meta.pk)
            told = f"SELECT '{USER}', {key}, TRUE, '{SUBJECT}', '{subject.name}', ''"
            yield f"{told} WHERE {_differs(subject.field)}"


def _user_fields(model: type[Model]) -> dict[str, Field[Any, Any]]:
    watched = Watched()
    return {field.name: field for field in watched.user_fields()} if model is watched.user else {}


def _insert(facts: str, schema: str, many: str = "1", *, of_many: bool = True) -> str:
    table = connection.ops.quote_name(Change._meta.db_table)
    columns = "kind, key, came, what, item, name, rows, of_many, at, tx, actor, actor_key, way, request"
    if not schema:
        author = "0, '', '', '', ''"
    else:
        table = f"{schema}.{table}"
        actor = (
            f"coalesce({_said('actor')}, CASE WHEN {_said('way')} IS NULL THEN session_user::text END, '')"
        )
        others = ", ".join(f"coalesce({_said(name)}, '')" for name in ("actor_key", "way", "request"))
        author = f"txid_current(), left({actor}, 255), {others}"
    return (
        f"INSERT INTO {table} ({columns})"
        f" SELECT told.*, {many}, {of_many}, {clock.sql()}, {author} FROM ({facts}) AS told"
    )


def _said(name: str) -> str:
    """What the session says of its author; after the transaction that said it PostgreSQL keeps ''."""
    return f"nullif(left(current_setting('{SETTING}{name}', true), 255), '')"


def _text(alias: str, field: Field[Any, Any] | None) -> str:
    if field is None:
        return "''"
    if connection.vendor == "postgresql":
        return f"coalesce(left({rows.said(alias, field)}, 255), '')"
    return f"coalesce(CAST({_column(alias, field)} AS text), '')"


def _true(alias: str, field: Field[Any, Any]) -> str:
    if connection.vendor == "postgresql":
        return f"coalesce({rows.said(alias, field)} = 'true', FALSE)"
    return f"coalesce({_column(alias, field)}, FALSE)"


def _differs(field: Field[Any, Any]) -> str:
    if connection.vendor == "postgresql":
        return rows.differs(field)
    return f"{_column('OLD', field)} IS NOT {_column('NEW', field)} COLLATE BINARY"


def _column(alias: str, field: Field[Any, Any]) -> str:
    return f"{alias}.{connection.ops.quote_name(str(field.column))}"
