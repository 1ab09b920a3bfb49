"""The state of entities, computed from Django's own tables with a fixed number of queries."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple

from django.db import connection

from authz_changelog.marks.kinds import GROUP, USER
from authz_changelog.marks.watched import Link, Watched
from authz_changelog.revisions.generations import Ended

State = dict[str, Any]


class Key(NamedTuple):
    """Names one user or one group; `key` is its primary key as text, or what the log calls it."""

    kind: str
    key: str


def _primary_keys(groups: Collection[str]) -> dict[str, str]:
    return {group: group for group in groups}


def canonical(state: State) -> str:
    """The one spelling of a state: what is stored, sent, compared and digested."""
    return json.dumps(state, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def compute(
    keys: Iterable[Key], group_names: Callable[[Collection[str]], Mapping[str, str]] = _primary_keys
) -> dict[Key, State | None]:
    """The present state of each entity, all by primary keys; `None` for those that do not exist.

    The states of users name groups as `group_names` does, given their primary keys; which of a subject's
    tokens are valid is not yet in them (`ending`).
    """
    watched = Watched()
    wanted: dict[str, dict[Any, Key]] = {USER: {}, GROUP: {}}
    for key in keys:
        wanted[key.kind][watched.model(key.kind)._meta.pk.to_python(key.key)] = key
    states: dict[Key, State | None] = {key: None for by_pk in wanted.values() for key in by_pk.values()}
    users = _users(watched, list(wanted[USER]))
    names = group_names({group for state in users.values() for group in state["groups"]})
    for pk, state in users.items():
        state["groups"] = sorted(names[group] for group in state["groups"])
        states[wanted[USER][pk]] = state
    for pk, state in _groups(watched, list(wanted[GROUP])).items():
        states[wanted[GROUP][pk]] = state
    return states


def _users(watched: Watched, pks: list[Any]) -> dict[Any, State]:
    if not pks:
        return {}
    names = [field.attname for field in watched.user_fields()]
    rows = watched.user._base_manager.filter(pk__in=pks).values("pk", *names)
    permissions = _labels(watched.user_permissions, pks)
    groups = _targets(watched.memberships, pks)
    return {
        row["pk"]: {
            "active": row.get("is_active", True),
            "superuser": row["is_superuser"],
            "permissions": sorted(permissions[row["pk"]]),
            "groups": sorted(groups[row["pk"]]),
            "token_generation": row.get("token_generation", 0),
        }
        for row in rows
    }


def ending(user: State, ended: Ended | None) -> State:
    """The state of a subject of this user: which of its tokens are valid depends on its newest end."""
    if ended is None:
        return user
    return {
        **user,
        "token_generation": max(user["token_generation"], ended.generation + 1),
        "tokens_not_before": ended.tokens_not_before,
    }


def _groups(watched: Watched, pks: list[Any]) -> dict[Any, State]:
    if not pks:
        return {}
    permissions = _labels(watched.group_permissions, pks)
    rows = watched.group._base_manager.filter(pk__in=pks).values_list("pk", flat=True)
    return {pk: {"permissions": sorted(permissions[pk])} for pk in rows}


def _labels(link: Link, pks: list[Any]) -> dict[Any, set[str]]:
    target = link.target.name
    rows = link.through._base_manager.filter(**{f"{link.owner.name}__in": pks}).values_list(
        link.owner.attname, f"{target}__content_type__app_label", f"{target}__codename"
    )
    labels: dict[Any, set[str]] = defaultdict(set)
    for owner, app_label, codename in rows:
        labels[owner].add(f"{app_label}.{codename}")
    return labels


def _targets(link: Link, pks: list[Any]) -> dict[Any, set[str]]:
    rows = link.through._base_manager.filter(**{f"{link.owner.name}__in": pks}).values_list(
        link.owner.attname, link.target.attname
    )
    if connection.vendor == "sqlite":  # there foreign keys can be off
        rows = rows.filter(**{f"{link.target.name}__in": link.targets._base_manager.all()})
    targets: dict[Any, set[str]] = defaultdict(set)
    for owner, target in rows:
        targets[owner].add(str(target))
    return targets
