"""Where the state of an entity differs from what the log last said of it."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from authz_changelog import sql
from authz_changelog.marks.kinds import GROUP, USER
from authz_changelog.marks.watched import Watched, column
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
        key = states.encode(self.key.key)
        return f'{{"kind":"{self.key.kind}","key":{key},"state":{self.state or "null"}}}'

    def row(self) -> tuple[object, ...]:
        """Its `COLUMNS` in the log's table of entities."""
        return (*self.key, slot(*self.key), self.state, self.owner)


COLUMNS = ("kind", "key", "slot", "state", "owner")


def present(keys: Iterable[Key]) -> dict[Key, State | None]:
    """What the log should say of the entities that concern those with these primary keys."""
    return {key: state for key, (state, _) in _compared(keys)[0].items()}


class _Present(NamedTuple):
    state: State | None
    owner: str | None


def _compared(
    keys: Iterable[Key], ended: Collection[Key] = ()
) -> tuple[dict[Key, _Present], dict[Key, _Logged]]:
    """What the log should say, and what it says."""
    watched = Watched()
    wanted = {Key(kind, watched.key(kind, key)) for kind, key in keys}
    names = incarnations.names([key.key for key in wanted if key.kind == GROUP])
    users = [key.key for key in wanted if key.kind == USER]
    holders: dict[str, str | None] = {**subjects.held_by(users)}
    living = {Key(USER, key) for key in holders.values() if key is not None}
    reading = states.Reading(living | {Key(GROUP, key) for key in names})
    asked = _logged(holders, users, [*names.values(), *(key.key for key in ended)])
    found = sql.read(*asked, *reading.selects)
    said, there = found[: len(asked)], found[len(asked) :]
    logged = {Key(kind, key): _Logged(*rest) for rows in said for kind, key, *rest in rows}
    computed = reading.states(there, incarnations.names)
    if left := [key.key for key in logged if key.kind == USER and key.key not in holders]:
        others = subjects.holders(left)
        computed |= states.compute({Key(USER, key) for key in others.values()}, incarnations.names)
        holders |= dict.fromkeys(left) | others
    present = {Key(GROUP, name): _Present(computed[Key(GROUP, key)], None) for key, name in names.items()}
    ends = generations.ends([subject for subject, key in holders.items() if key is not None])
    for subject, key in holders.items():
        held = None if key is None else computed[Key(USER, key)]
        state = None if held is None else states.ending(held, ends.get(subject))
        present[Key(USER, subject)] = _Present(state, key and subjects.owner(subject, key))
    return present | dict.fromkeys(ended, _Present(None, None)), logged


def find(marked: Iterable[Key], ended: Collection[Key] = ()) -> list[Difference]:
    """The differences of the entities that concern those with these primary keys, users before groups.

    `ended` are groups, by what the log calls them, that are no more. A dead group's name in a user's state is
    not a difference: the end of a group with a million members is one change.
    """
    computed, logged = _compared(marked, ended)
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


def _logged(held: Collection[str], owners: Collection[str], groups: Collection[str]) -> list[sql.Select]:
    """By subjects of users and names of groups; and what else the log calls users with these primary keys."""
    fields = [column(Entity, name) for name in ("kind", "key", "state", "owner")]
    conditions = [("kind = 'group' AND key", groups), ("kind = 'user' AND key", held)]
    living = "kind = 'user' AND state IS NOT NULL AND"
    conditions.append((f"{living} owner", owners))
    conditions.append((f"{living} owner IS NULL AND key", [key for key in owners if key not in held]))
    these = ((where, *sql.among(values)) for where, values in conditions if values)
    return [sql.Select(fields, f"{where} {among}", parameters) for where, among, parameters in these]


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
    """Those that the log knows, or is to know when what they have gained may be logged, and will then."""
    if not groups:
        return set()
    known = Entity.objects.filter(kind=GROUP, key__in=list(groups), state__isnull=False)
    alive = set(known.values_list("key", flat=True))
    keys = {incarnations.table_key(name) for name in groups - alive}
    alive |= groups & set(incarnations.names(keys).values())
    return {name for name in alive if changed.get(Key(GROUP, name), ...) is not None}


def _groups_left(before: str | None, after: State | None) -> set[str]:
    """The groups a user left, if that is all that happened; else none."""
    if before is None or after is None:
        return set()
    state = json.loads(before)
    left = set(state["groups"]) - set(after["groups"])
    state["groups"] = [group for group in state["groups"] if group not in left]
    return left if state == after else set()
