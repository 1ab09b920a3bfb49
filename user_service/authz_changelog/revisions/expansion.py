"""The entities of a mark that names what many entities depend on, page by page.

They are looked up in the snapshot in which their states are computed. Whoever comes to depend on it after
that snapshot leaves a mark of his own; so pages may be read in several runs, one after the other. A position
is `source:key`: up to which key a source has been read.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from django.db.models import F, QuerySet

from authz_changelog.marks.kinds import ALL, BORN, GROUP, PERMISSION, USER
from authz_changelog.marks.watched import Link, Watched
from authz_changelog.models import Entity
from authz_changelog.revisions import incarnations, suspects
from authz_changelog.revisions.states import Key
from authz_changelog.revisions.suspects import Range

Pick = Callable[[Range], Collection[str]]
LOOKED_AT = 5000
"""Rows that are looked at for one page: of a table that is compared, most are as the log says."""


class Page(NamedTuple):
    keys: list[Key]
    position: str | None
    """Where the next page begins; `None` when this was the last one."""
    again: bool = False
    """What is left is to read the groups once more."""


@dataclass(frozen=True)
class _Source:
    """Keys of one kind of entity, in the order of a column that is indexed."""

    kind: str
    rows: QuerySet[Any, Any]
    column: str
    pick: Pick | None = None
    """The primary keys of those in a range of the column that are meant, where it is not all of them."""
    again: bool = False

    def after(self, key: str, count: int) -> list[str]:
        rows = self.rows
        if key:
            field = rows.model._meta.get_field(self.column)
            rows = rows.filter(**{f"{self.column}__gt": field.to_python(key)})
        found = rows.order_by(self.column).values_list(F(self.column), flat=True)
        return [str(each) for each in found.distinct()[:count]]

    def meant(self, after: str, found: list[str]) -> Iterator[Key]:
        """Those of them that are meant."""
        picked = self.pick(Range(after or None, found[-1])) if self.pick and found else found
        return (Key(self.kind, each) for each in picked)


def page(kind: str, keys_of: Collection[str], position: str, count: int, *, whole: bool = False) -> Page:
    """At most `count` of the entities that marks of this kind and keys stand for, from `position` on.

    It ends where the groups begin once more, unless the `whole` is wanted.
    """
    sources = _sources(kind, keys_of)
    number, _, after = position.partition(":")
    first = int(number or 0)
    keys: list[Key] = []
    left = LOOKED_AT
    for number_, source in enumerate(sources[first:], first):
        if source.again and not whole and not sources[first].again:
            return Page(keys, f"{number_}:", again=True)
        while True:
            room = min(count - len(keys), left)
            found = source.after(after, room)
            keys += source.meant(after, found)
            left -= len(found)
            if len(found) < room:
                break
            after = found[-1] if found else after
            if len(keys) >= count or not left:
                return Page(keys, f"{number_}:{after}", again=source.again)
        after = ""
    return Page(keys, None)


def again(kind: str, keys: Collection[str]) -> str | None:
    """The position from which groups are read once more; `None` when there are none."""
    sources = _sources(kind, keys)
    number = next((number for number, source in enumerate(sources) if source.again), None)
    return None if number is None else f"{number}:"


def _sources(kind: str, keys: Collection[str]) -> list[_Source]:
    """Groups, users, and then groups again: `overtaking` says why."""
    watched = Watched()
    if kind == BORN:
        return [_members(watched.memberships, later)] if (later := incarnations.later(keys)) else []
    if kind == ALL:
        groups = _all(watched, GROUP) if {"", GROUP} & set(keys) else []
        users = _all(watched, USER) if {"", USER} & set(keys) else []
    else:
        groups = [_holders(GROUP, watched.group_permissions, kind, keys)]
        users = [_holders(USER, watched.user_permissions, kind, keys)]
    return [*groups, *users, *(replace(source, again=True) for source in groups)]


def _all(watched: Watched, kind: str) -> list[_Source]:
    """Those that exist and may differ from the log, then those that it knows and that do not exist."""
    model = watched.model(kind)

    def existing(keys: Range) -> list[str]:
        return [each.key for each in suspects.existing(kind, keys)]

    def gone(ids: Range) -> list[str]:
        return [each.key for each in suspects.logged(ids) if each.kind == kind]

    return [
        _Source(kind, model._base_manager.all(), str(model._meta.pk.attname), existing),
        _Source(kind, Entity.objects.filter(kind=kind), "id", gone),
    ]


def _holders(owner: str, link: Link, kind: str, keys: Collection[str]) -> _Source:
    target = link.target.attname if kind == PERMISSION else f"{link.target.name}__content_type_id"
    return _Source(
        owner, link.through._base_manager.filter(**{f"{target}__in": list(keys)}), str(link.owner.attname)
    )


def _members(link: Link, keys: Collection[str]) -> _Source:
    rows = link.through._base_manager.filter(**{f"{link.target.attname}__in": list(keys)})
    return _Source(USER, rows, str(link.owner.attname))
