"""Where the state of an entity differs from what the log last said of it."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from authz_changelog.marks.kinds import GROUP, USER
from authz_changelog.marks.watched import Watched
from authz_changelog.models import Entity
from authz_changelog.revisions import generations, incarnations, states, subjects
from authz_changelog.revisions.digest import slot
from authz_changelog.revisions.states import Key, State


class _Logged(NamedTuple):
    """What the log last said: canonical JSON, `None` for a tombstone; and of whom."""

    state: str | None
    owner: str | None


@dataclass(frozen=True)
class Difference:
    """An entity's new state and the one before, as canonical JSON; `None` when it does not exist."""

    key: Key
    state: str | None
    before: str | None = None
    owner: str | None = None
    """The primary key of the user whose subject it is, or was; none: the key itself, and of groups."""
    owner_before: str | None = None

    @property
    def moved(self) -> bool:
        """It was another user's subject before."""
        return (self.owner or self.key.key) != (self.owner_before or self.key.key)

    @property
    def concerns(self) -> set[Key]:
        """Whose it is and was: users by primary keys, groups as the log calls them."""
        return {Key(self.key.kind, owner or self.key.key) for owner in (self.owner, self.owner_before)}

    def json(self) -> str:
        key = json.dumps(self.key.key, ensure_ascii=False)
        return f'{{"kind":"{self.key.kind}","key":{key},"state":{self.state or "null"}}}'

    def entity(self, revision: int) -> Entity:
        kind, key = self.key
        return Entity(
            kind=kind, key=key, slot=slot(kind, key), revision=revision, state=self.state, owner=self.owner
        )


def present(keys: Iterable[Key]) -> dict[Key, State | None]:
    """What the log should say of the entities that concern those with these primary keys."""
    return {key: state for key, (state, _) in _present(keys).items()}


class _Present(NamedTuple):
    state: State | None
    owner: str | None


def _present(keys: Iterable[Key]) -> dict[Key, _Present]:
    watched = Watched()
    wanted = {Key(kind, watched.key(kind, key)) for kind, key in keys}
    names = incarnations.names([key.key for key in wanted if key.kind == GROUP])
    holders = subjects.concerned([key.key for key in wanted if key.kind == USER])
    living = {Key(USER, key) for key in holders.values() if key is not None}
    computed = states.compute(living | {Key(GROUP, key) for key in names}, incarnations.names)
    found = {Key(GROUP, name): _Present(computed[Key(GROUP, key)], None) for key, name in names.items()}
    ends = generations.ends([subject for subject, key in holders.items() if key is not None])
    for subject, key in holders.items():
        held = None if key is None else computed[Key(USER, key)]
        state = None if held is None else states.ending(held, ends.get(subject))
        found[Key(USER, subject)] = _Present(state, key and subjects.owner(subject, key))
    return found


def find(marked: Iterable[Key], ended: Collection[Key] = ()) -> list[Difference]:
    """The differences of the entities that concern those with these primary keys, users before groups.

    `ended` are groups, by what the log calls them, that are no more. A dead group's name in a user's state is
    not a difference: the end of a group with a million members is one change.
    """
    computed = _present(marked) | dict.fromkeys(ended, _Present(None, None))
    logged = _logged(computed)
    found = [_difference(key, now, logged.get(key)) for key, now in computed.items()]
    changed = {each.key: each for each in found if each.state != each.before or (each.state and each.moved)}
    dead_only = _only_dead_groups_left({key: computed[key].state for key in changed}, logged)
    differences = [each for each in changed.values() if each.moved or each.key not in dead_only]
    return sorted(differences, key=lambda each: (each.key.kind == GROUP, each.state is not None))


def _difference(key: Key, now: _Present, logged: _Logged | None) -> Difference:
    state = None if now.state is None else states.canonical(now.state)
    if logged is None:
        return Difference(key, state, None, now.owner, now.owner)
    return Difference(key, state, logged.state, logged.owner if state is None else now.owner, logged.owner)


def _logged(keys: Iterable[Key]) -> dict[Key, _Logged]:
    by_kind: dict[str, list[str]] = {USER: [], GROUP: []}
    for kind, key in keys:
        by_kind[kind].append(key)
    return {
        Key(kind, key): _Logged(*said)
        for kind, some in by_kind.items()
        if some
        for key, *said in Entity.objects.filter(kind=kind, key__in=some).values_list("key", "state", "owner")
    }


def _only_dead_groups_left(changed: dict[Key, State | None], logged: Mapping[Key, _Logged]) -> set[Key]:
    """The users who only left groups that no longer exist."""
    left = {
        key: groups
        for key, state in changed.items()
        if key.kind == USER and key in logged and (groups := _groups_left(logged[key].state, state))
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
