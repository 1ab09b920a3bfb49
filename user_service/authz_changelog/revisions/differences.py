"""Where the state of an entity differs from what the log last said of it."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from authz_changelog.marks.kinds import GROUP, USER
from authz_changelog.marks.watched import Watched
from authz_changelog.models import Entity
from authz_changelog.revisions import incarnations, states
from authz_changelog.revisions.digest import slot
from authz_changelog.revisions.states import Key, State

Logged = dict[Key, str | None]
"""What the log last said: canonical JSON, `None` for a tombstone."""


@dataclass(frozen=True)
class Difference:
    """An entity's new state and the one before, as canonical JSON; `None` when it does not exist."""

    key: Key
    state: str | None
    before: str | None = None

    def json(self) -> str:
        key = json.dumps(self.key.key, ensure_ascii=False)
        return f'{{"kind":"{self.key.kind}","key":{key},"state":{self.state or "null"}}}'

    def entity(self, revision: int) -> Entity:
        kind, key = self.key
        return Entity(kind=kind, key=key, slot=slot(kind, key), revision=revision, state=self.state)


def present(keys: Iterable[Key]) -> dict[Key, State | None]:
    """What the log should say of the entities with these primary keys."""
    watched = Watched()
    wanted = {Key(kind, watched.key(kind, key)) for kind, key in keys}
    names = incarnations.names([key.key for key in wanted if key.kind == GROUP])
    return {
        Key(GROUP, names[key.key]) if key.kind == GROUP else key: state
        for key, state in states.compute(wanted, incarnations.names).items()
    }


def find(marked: Iterable[Key], ended: Collection[Key] = ()) -> list[Difference]:
    """The differences of the entities with these primary keys, users before groups.

    `ended` are groups, by what the log calls them, that are no more. A dead group's name in a user's state is
    not a difference: the end of a group with a million members is one change.
    """
    computed = present(marked)
    computed |= dict.fromkeys(ended)
    logged = _logged(computed)
    changed = {key: state for key, state in computed.items() if _text(state) != logged.get(key)}
    dead_only = _only_dead_groups_left(changed, logged)
    found = [
        Difference(key, _text(state), logged.get(key))
        for key, state in changed.items()
        if key not in dead_only
    ]
    return sorted(found, key=lambda difference: difference.key.kind == GROUP)


def _text(state: State | None) -> str | None:
    return None if state is None else states.canonical(state)


def _logged(keys: Iterable[Key]) -> Logged:
    by_kind: dict[str, list[str]] = {USER: [], GROUP: []}
    for kind, key in keys:
        by_kind[kind].append(key)
    return {
        Key(kind, key): state
        for kind, some in by_kind.items()
        if some
        for key, state in Entity.objects.filter(kind=kind, key__in=some).values_list("key", "state")
    }


def _only_dead_groups_left(changed: dict[Key, State | None], logged: Logged) -> set[Key]:
    """The users who only left groups that no longer exist."""
    left = {
        key: groups
        for key, state in changed.items()
        if key.kind == USER and (groups := _groups_left(logged.get(key), state))
    }
    alive = _alive(set().union(*left.values()), changed)
    return {key for key, groups in left.items() if groups.isdisjoint(alive)}


def _alive(groups: set[str], changed: dict[Key, State | None]) -> set[str]:
    """Those that the log knows, and will after these changes."""
    if not groups:
        return set()
    known = Entity.objects.filter(kind=GROUP, key__in=list(groups), state__isnull=False)
    return {
        name for name in known.values_list("key", flat=True) if changed.get(Key(GROUP, name), ...) is not None
    }


def _groups_left(before: str | None, after: State | None) -> set[str]:
    """The groups a user left, if that is all that happened; else none."""
    if before is None or after is None:
        return set()
    state = json.loads(before)
    left = set(state["groups"]) - set(after["groups"])
    state["groups"] = [group for group in state["groups"] if group not in left]
    return left if state == after else set()
