"""The state of entities, computed from Django's own tables with a fixed number of queries."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from django.db import connection

from authz_changelog import sql
from authz_changelog.marks.kinds import GROUP, USER
from authz_changelog.marks.watched import Link, Watched, column
from authz_changelog.revisions.generations import Ended

State = dict[str, Any]
encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


class Key(NamedTuple):
    """Names one user or one group; `key` is its primary key as text, or what the log calls it."""

    kind: str
    key: str


def _primary_keys(groups: Collection[str]) -> dict[str, str]:
    return {group: group for group in groups}


def canonical(state: State) -> str:
    """The one spelling of a state: what is stored, sent, compared and digested."""
    return encode(state)


def compute(
    keys: Iterable[Key], group_names: Callable[[Collection[str]], Mapping[str, str]] = _primary_keys
) -> dict[Key, State | None]:
    """The present state of each entity, all by primary keys; `None` for those that do not exist.

    The states of users name groups as `group_names` does, given their primary keys; which of a subject's
    tokens are valid is not yet in them (`ending`).
    """
    reading = Reading(keys)
    return reading.states(sql.read(*reading.selects), group_names)


class Reading:
    """What is to be read for the states of entities: others may read more in the same go."""

    def __init__(self, keys: Iterable[Key]) -> None:
        self._watched = watched = Watched()
        self._wanted: dict[str, dict[Any, Key]] = {USER: {}, GROUP: {}}
        for key in keys:
            self._wanted[key.kind][watched.model(key.kind)._meta.pk.to_python(key.key)] = key
        self.selects: list[sql.Select] = []
        if users := self._wanted[USER]:
            pk = watched.user._meta.pk
            these, values = sql.among(sql.prepared(pk, users))
            there = sql.Select([pk, *watched.user_fields()], f"{sql.at(pk)} {these}")
            labels, targets = _labels(watched, watched.user_permissions, these), _targets(watched, these)
            self.selects += (each.given(values) for each in (there, labels, targets))
        if groups := self._wanted[GROUP]:
            pk = watched.group._meta.pk
            these, values = sql.among(sql.prepared(pk, groups))
            there = sql.Select([pk], f"{sql.at(pk)} {these}")
            labels = _labels(watched, watched.group_permissions, these)
            self.selects += (each.given(values) for each in (there, labels))

    def states(
        self, found: Iterable[list[sql.Row]], group_names: Callable[[Collection[str]], Mapping[str, str]]
    ) -> dict[Key, State | None]:
        """`found`: what `selects` say. The rest as `compute` has it."""
        users, groups = self._wanted[USER], self._wanted[GROUP]
        states: dict[Key, State | None] = {key: None for some in (users, groups) for key in some.values()}
        each = iter(found)
        if users:
            computed = self._users(next(each), _by_owner(next(each)), _by_owner(next(each)), group_names)
            states |= {users[pk]: state for pk, state in computed}
        if groups:
            there, labels = next(each), _by_owner(next(each))
            states |= {groups[pk]: {"permissions": _labelled(labels[pk])} for (pk,) in there}
        return states

    def _users(
        self,
        rows: list[sql.Row],
        labels: Mapping[Any, set[sql.Row]],
        targets: Mapping[Any, set[sql.Row]],
        group_names: Callable[[Collection[str]], Mapping[str, str]],
    ) -> Iterator[tuple[Any, State]]:
        names = group_names({str(group) for those in targets.values() for (group,) in those})
        fields = [field.name for field in self._watched.user_fields()]
        for pk, *values in rows:
            row = dict(zip(fields, values, strict=True))
            yield (
                pk,
                {
                    "active": row.get("is_active", True),
                    "superuser": row["is_superuser"],
                    "permissions": _labelled(labels[pk]),
                    "groups": sorted(names[str(group)] for (group,) in targets[pk]),
                    "token_generation": row.get("token_generation", 0),
                },
            )


def ending(user: State, ended: Ended | None) -> State:
    """The state of a subject of this user: which of its tokens are valid depends on its newest end."""
    if ended is None:
        return user
    return {
        **user,
        "token_generation": max(user["token_generation"], ended.generation + 1),
        "tokens_not_before": ended.tokens_not_before,
    }


def _labels(watched: Watched, link: Link, these: str) -> sql.Select:
    permission, content_type = watched.permission, watched.content_type
    names = [column(content_type, "app_label"), column(permission, "codename")]
    joins = (
        f"JOIN {sql.table(permission)} ON {sql.at(permission._meta.pk)} = {sql.at(link.target)}"
        f" JOIN {sql.table(content_type)}"
        f" ON {sql.at(content_type._meta.pk)} = {sql.at(column(permission, 'content_type'))}"
    )
    return sql.Select([link.owner, *names], f"{sql.at(link.owner)} {these}", joins=joins)


def _labelled(names: Iterable[sql.Row]) -> list[str]:
    return sorted(f"{app_label}.{codename}" for app_label, codename in names)


def _targets(watched: Watched, these: str) -> sql.Select:
    link = watched.memberships
    where = f"{sql.at(link.owner)} {these}"
    if connection.vendor == "sqlite":  # there foreign keys can be off
        target = link.targets._meta.pk
        where += f" AND {sql.at(link.target)} IN (SELECT {sql.at(target)} FROM {sql.table(link.targets)})"  # noqa: S608 (names of models)
    return sql.Select([link.owner, link.target], where)


def _by_owner(rows: Iterable[sql.Row]) -> Mapping[Any, set[sql.Row]]:
    """What belongs to each: the rest of the rows that begin with it."""
    found: dict[Any, set[sql.Row]] = defaultdict(set)
    for owner, *rest in rows:
        found[owner].add(tuple(rest))
    return found
