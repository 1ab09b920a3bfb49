"""Which entities of a range of keys may differ from the log, found by the database as cheaply as it can.

On PostgreSQL one statement writes each state as `states.canonical` would, and compares it with the text that
is logged; another looks for the users that are in the log. What differs is only suspected: `differences.find`
decides. If the two ways of writing a state ever part, everything is suspected, which is slow, and nothing is
overlooked. On SQLite every state is suspected.
"""

# ruff: noqa: S608 (this module writes SQL from the names of Django's own models)
from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from django.db import connection
from django.db.models import Field, Model

from authz_changelog import sql
from authz_changelog.marks.kinds import GROUP, USER
from authz_changelog.marks.watched import SEPARATOR, Link, Subject, Watched, column
from authz_changelog.models import End, Entity, Incarnation
from authz_changelog.revisions import incarnations, subjects
from authz_changelog.revisions.states import Key


class _Spelling(NamedTuple):
    """Which texts are a value of that type."""

    form: str
    type: str


_WHOLE = _Spelling("^-?[0-9]{1,18}$", "bigint")
_SPELLINGS = {
    "AutoField": _WHOLE,
    "BigAutoField": _WHOLE,
    "IntegerField": _WHOLE,
    "BigIntegerField": _WHOLE,
    "UUIDField": _Spelling("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", "uuid"),
    "CharField": None,
    "TextField": None,
}
"""Of primary keys that the database can look up, by the type of the field; `None`: every text is one."""


class Range(NamedTuple):
    """Keys after one and up to another; `None` is no bound."""

    after: str | None
    until: str | None

    def filter(self, field: str) -> dict[str, str]:
        bounds = {f"{field}__gt": self.after, f"{field}__lte": self.until}
        return {lookup: key for lookup, key in bounds.items() if key is not None}

    def within(self, key: Field[Any, Any], expression: str = "") -> sql.Statement:
        """The same in SQL, of the field or of what is to be compared as it is."""
        conditions, parameters = ["TRUE"], []
        for operator, bound in ((">", self.after), ("<=", self.until)):
            if bound is not None:
                conditions.append(f"{expression or sql.at(key)} {operator} %s")
                parameters += sql.prepared(key, [key.to_python(bound)])
        return " AND ".join(conditions), parameters


def existing(kind: str, keys: Range) -> list[Key]:
    """Of the users or groups that exist; to be asked inside a transaction."""
    if connection.vendor != "postgresql":
        rows = Watched().model(kind)._base_manager.filter(**keys.filter("pk"))
        return [Key(kind, str(pk)) for pk in rows.values_list("pk", flat=True)]
    statement, parameters = _statement(Watched(), kind, keys)
    *_, found = sql.together([*((each, ()) for each in _looking_up()), (statement, parameters)])
    return [Key(kind, key) for (key,) in found]


def logged(ids: Range) -> list[Key]:
    """Of the entities in the log, by their row's id: those that do not exist and are not known as deleted.

    By their primary keys, as all keys here; also users whose subject is another one.
    """
    fields, pk = [column(Entity, name) for name in ("kind", "key", "owner")], Entity._meta.pk
    where, bounds = ids.within(pk)
    where = f"state IS NOT NULL AND {where}"
    if connection.vendor == "postgresql" and Watched().user._meta.pk.get_internal_type() in _SPELLINGS:
        # With EXISTS a planner may think that it is cheaper to look at all users first.
        where += f" AND (kind <> '{USER}' OR ({_named(Watched())}) IS NULL)"
    (living,) = sql.read(sql.Select(fields, where, bounds), after=_looking_up())
    users = {key: owner or key for kind, key, owner in living if kind == USER}
    named = subjects.named(set(users.values())) if users else {}
    suspected = {Key(USER, key) for subject, key in users.items() if named.get(subject) != key}
    groups = {incarnations.table_key(key) for kind, key, _ in living if kind == GROUP}
    there = Watched().group._base_manager.filter(pk__in=list(groups)).values_list("pk", flat=True)
    return sorted(suspected | {Key(GROUP, key) for key in groups - set(map(str, there))})


def _looking_up() -> list[str]:
    """A planner without statistics would read whole tables, and think its plan worth compiling."""
    if connection.vendor != "postgresql":
        return []
    return ["SET LOCAL enable_seqscan = off", "SET LOCAL jit = off"]


def _named(watched: Watched) -> str:
    """The user who has a logged subject. A key that cannot be one is nobody's: that is what `CASE` is for."""
    pk, entity = watched.user._meta.pk, _table(Entity)
    key = f"coalesce({entity}.owner, {entity}.key)"
    if spelling := _SPELLINGS[pk.get_internal_type()]:
        key = f"CASE WHEN {key} ~ '{spelling.form}' THEN CAST({key} AS {spelling.type}) END"
    else:  # as it is written, whatever the column's collation takes it for
        key = f'{key} AND {_at(pk)}::text = {key} COLLATE "C"'
    names = " OR ".join(_calls(watched, subject) for subject in watched.subjects)
    return f"SELECT 1 FROM {_table(watched.user)} WHERE {_at(pk)} = {key} AND ({names}) LIMIT 1"


def _calls(watched: Watched, subject: Subject) -> str:
    """Whether the log's key is what that field says of a user."""
    said = f"{_at(subject.field)}::text"
    same = f"{_table(Entity)}.key = ('{subject.prefix}' || {said}) COLLATE \"C\""
    return f"{same} AND strpos({said}, '{SEPARATOR}') = 0" if watched.other_subjects else same


def _statement(watched: Watched, kind: str, keys: Range) -> tuple[str, list[Any]]:
    model = watched.model(kind)
    pk = model._meta.pk
    parts = _user(watched, keys) if kind == USER else _group(watched, keys)
    joins = " ".join(
        f"LEFT JOIN ({part.query}) AS {part.name} ON {part.name}.owner = {_at(pk)}" for part in parts
    )
    key = f"{_at(pk)}::text"
    compared = [*_subjects(watched, key)] if kind == USER else [_group_entity(watched, key)]
    where, bounds = keys.within(pk)
    statement = (
        f"SELECT {key} FROM {_table(model)} {joins} {' '.join(each.joins for each in compared)}"
        f" WHERE {where} AND ({' OR '.join(each.differs for each in compared)})"
    )
    return statement, [*(value for part in parts for value in part.parameters), *bounds]


class _Compared(NamedTuple):
    """What the log says is joined, and differs from what it should say."""

    joins: str
    differs: str


def _group_entity(watched: Watched, key: str) -> _Compared:
    name, incarnation = _group_name(key)
    differs = f"entity.state IS DISTINCT FROM {_object(watched, GROUP)}"
    return _Compared(f"{incarnation} {_entity('entity', GROUP, name)}", differs)


def _subjects(watched: Watched, key: str) -> Iterator[_Compared]:
    """Each that a user has, of whom this is the primary key. The main one is compared whatever it says."""
    for number, subject in enumerate(watched.subjects):
        entity, ended, text = f"entity{number}", f"ended{number}", f"{_at(subject.field)}::text"
        name = f"'{subject.prefix}' || {text}" if subject.prefix else text
        differs = (
            f"{entity}.state IS DISTINCT FROM {_object(watched, USER, ended)}"
            f" OR coalesce({entity}.owner, {entity}.key) <> {key}"
        )
        if subject.prefix:
            differs = f"{text} <> '' AND ({differs})"
        yield _Compared(f"{_ended(ended, name)} {_entity(entity, USER, name)}", differs)


def _entity(alias: str, kind: str, name: str) -> str:
    return f"LEFT JOIN {_table(Entity)} AS {alias} ON {alias}.kind = '{kind}' AND {alias}.key = {name}"


class _Part(NamedTuple):
    """A list of a state, for each owner that has one."""

    name: str
    query: str
    parameters: Sequence[Any]


def _user(watched: Watched, keys: Range) -> list[_Part]:
    memberships = watched.memberships
    through, owner, target = _table(memberships.through), _at(memberships.owner), _at(memberships.target)
    where, bounds = keys.within(watched.user._meta.pk, owner)
    name, incarnation = _group_name(f"{target}::text")
    groups = f"SELECT {owner} AS owner, {name} AS item FROM {through} {incarnation} WHERE {where}"
    return [_list("groups", groups, bounds), _labels(watched, watched.user_permissions, watched.user, keys)]


def _group(watched: Watched, keys: Range) -> list[_Part]:
    return [_labels(watched, watched.group_permissions, watched.group, keys)]


def _group_name(key: str) -> tuple[str, str]:
    """What the log calls the group with this primary key (`incarnations`), and the join that tells."""
    name = f"replace({key}, '#', '##') || coalesce('#' || incarnation.number, '')"
    return name, f"LEFT JOIN {_table(Incarnation)} AS incarnation ON incarnation.key = {key}"


def _labels(watched: Watched, link: Link, owners: type[Model], keys: Range) -> _Part:
    permission, content_type = watched.permission, watched.content_type
    where, bounds = keys.within(owners._meta.pk, _at(link.owner))
    labels = (
        f"SELECT DISTINCT {_at(link.owner)} AS owner,"
        f" {_at(column(content_type, 'app_label'))} || '.' || {_at(column(permission, 'codename'))} AS item"
        f" FROM {_table(link.through)}"
        f" JOIN {_table(permission)} ON {_at(permission._meta.pk)} = {_at(link.target)}"
        f" JOIN {_table(content_type)}"
        f" ON {_at(content_type._meta.pk)} = {_at(column(permission, 'content_type'))} WHERE {where}"
    )
    return _list("permissions", labels, bounds)


def _list(name: str, items: str, parameters: Sequence[Any]) -> _Part:
    """Sorted as Python sorts, and written as JSON."""
    query = (
        "SELECT owner,"
        " '[' || string_agg(to_json(item)::text, ',' ORDER BY item COLLATE \"C\") || ']' AS items"
        f" FROM ({items}) AS each GROUP BY owner"
    )
    return _Part(name, query, parameters)


def _object(watched: Watched, kind: str, ended: str = "") -> str:
    """The state as JSON, its members in order; `ended` is what its subject's newest end is called."""
    values = {"permissions": "coalesce(permissions.items, '[]')"}
    if kind == USER:
        columns = {field.name: _at(field) for field in watched.user_fields()}
        generation = f"greatest({columns.get('token_generation', '0')}, {ended}.generation + 1)"
        values |= {
            "active": f"({columns.get('is_active', 'true')})::text",
            "groups": "coalesce(groups.items, '[]')",
            "superuser": f"{columns['is_superuser']}::text",
            "token_generation": f"{generation}::text",
        }
    members = " || ',' || ".join(f"'\"{name}\":' || {values[name]}" for name in sorted(values))
    until = f"ceil(extract(epoch FROM {ended}.at))::bigint"
    last = f" || coalesce(',\"tokens_not_before\":' || {until}, '')" if kind == USER else ""
    return f"'{{' || {members}{last} || '}}'"


def _ended(alias: str, key: str) -> str:
    """The newest end of a subject (`generations`); one that was forgotten is suspected."""
    return (
        f"LEFT JOIN LATERAL (SELECT max(generation) AS generation, max(at) AS at FROM {_table(End)}"
        f" WHERE key = {key}) AS {alias} ON true"
    )


def _at(field: Field[Any, Any]) -> str:
    return f"{_table(field.model)}.{connection.ops.quote_name(str(field.column))}"


def _table(model: type[Model]) -> str:
    return connection.ops.quote_name(model._meta.db_table)
