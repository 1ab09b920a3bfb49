"""Where the state of an entity differs from what the log last said of it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from operator import or_

from django.db.models import Q

from authz_changelog.marks.kinds import GROUP, USER
from authz_changelog.marks.watched import Watched
from authz_changelog.models import Entity
from authz_changelog.revisions import states
from authz_changelog.revisions.digest import slot
from authz_changelog.revisions.states import Key, State

Logged = dict[Key, str | None]
"""What the log last said: canonical JSON, `None` for a tombstone."""


@dataclass(frozen=True)
class Difference:
    """An entity's new state, as canonical JSON; `None` when it was deleted."""

    key: Key
    state: str | None

    def json(self) -> str:
        key = json.dumps(self.key.key, ensure_ascii=False)
        return f'{{"kind":"{self.key.kind}","key":{key},"state":{self.state or "null"}}}'

    def entity(self, revision: int) -> Entity:
        kind, key = self.key
        return Entity(kind=kind, key=key, slot=slot(kind, key), revision=revision, state=self.state)


def find(marked: Iterable[Key]) -> list[Difference]:
    """The differences of the marked entities, users before groups.

    A dead group's id in a user's state is not a difference: the end of a group with a million members is
    one change. When a group of that id comes back, the users whose logged state still names it lose it
    in the same revision or an earlier one; otherwise they would become its members.
    """
    watched = Watched()
    keys = {Key(kind, watched.key(kind, key)) for kind, key in marked}
    logged, computed = _logged(keys), states.compute(keys)
    stale = _still_naming([key.key for key in keys if _reborn(key, logged, computed)])
    logged |= stale
    computed |= states.compute(stale.keys() - keys)
    changed = {key: state for key, state in computed.items() if _text(state) != logged.get(key)}
    dead_only = _only_dead_groups_left(watched, changed, logged)
    found = [Difference(key, _text(state)) for key, state in changed.items() if key not in dead_only]
    return sorted(found, key=lambda difference: difference.key.kind == GROUP)


def _text(state: State | None) -> str | None:
    return None if state is None else states.canonical(state)


def _logged(keys: set[Key]) -> Logged:
    logged: Logged = {}
    for kind in (USER, GROUP):
        entities = Entity.objects.filter(kind=kind, key__in=[key.key for key in keys if key.kind == kind])
        logged |= {Key(kind, key): state for key, state in entities.values_list("key", "state")}
    return logged


def _reborn(key: Key, logged: Logged, computed: dict[Key, State | None]) -> bool:
    return key.kind == GROUP and computed[key] is not None and key in logged and logged[key] is None


def _still_naming(groups: list[str]) -> Logged:
    """The users whose logged state names one of these groups."""
    if not groups:
        return {}
    mentioned = reduce(or_, (Q(state__contains=json.dumps(key)) for key in groups))
    candidates = Entity.objects.filter(mentioned, kind=USER)
    return {
        Key(USER, key): state
        for key, state in candidates.values_list("key", "state")
        if state and not set(groups).isdisjoint(json.loads(state)["groups"])
    }


def _only_dead_groups_left(watched: Watched, changed: dict[Key, State | None], logged: Logged) -> set[Key]:
    """The users who only left groups that no longer exist."""
    left = {
        key: groups
        for key, state in changed.items()
        if key.kind == USER and (groups := _groups_left(logged.get(key), state))
    }
    alive = watched.existing(GROUP, set().union(*left.values()))
    return {key for key, groups in left.items() if groups.isdisjoint(alive)}


def _groups_left(before: str | None, after: State | None) -> set[str]:
    """The groups a user left, if that is all that happened; else none."""
    if before is None or after is None:
        return set()
    state = json.loads(before)
    left = set(state["groups"]) - set(after["groups"])
    state["groups"] = [group for group in state["groups"] if group not in left]
    return left if state == after else set()
