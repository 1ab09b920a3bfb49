"""The entities of a mark that names what many entities depend on, page by page.

They are looked up in the snapshot in which their states are computed. Whoever comes to depend on it after
that snapshot leaves a mark of his own; so pages may be read in several runs, one after the other. A position
is `source:key`: up to which key a source has been read.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db.models import F, QuerySet

from authz_changelog.marks.kinds import ALL, ENTITIES, GROUP, PERMISSION, USER
from authz_changelog.marks.watched import Link, Watched
from authz_changelog.models import Entity
from authz_changelog.revisions.states import Key

Pick = Callable[[list[str]], Collection[str]]


class Page(NamedTuple):
    keys: list[Key]
    position: str | None
    """Where the next page begins; `None` when this was the last one."""


@dataclass(frozen=True)
class _Source:
    """Keys of one kind of entity, in the order of a column that is indexed."""

    kind: str
    rows: QuerySet[Any, Any]
    column: str
    pick: Pick = list
    """Those of a page that are meant."""

    def after(self, key: str, count: int) -> list[str]:
        rows = self.rows
        if key:
            field = rows.model._meta.get_field(self.column)
            rows = rows.filter(**{f"{self.column}__gt": field.to_python(key)})
        found = rows.order_by(self.column).values_list(F(self.column), flat=True)
        return [str(each) for each in found.distinct()[:count]]


def page(kind: str, key: str, position: str, count: int) -> Page:
    """At most `count` of the entities that a mark of this kind and key stands for, from `position` on."""
    sources = _sources(kind, key)
    first, _, after = position.partition(":")
    keys: list[Key] = []
    for number in range(int(first or 0), len(sources)):
        source, room = sources[number], count - len(keys)
        found = source.after(after, room)
        keys += (Key(source.kind, each) for each in source.pick(found))
        if len(found) == room:
            return Page(keys, f"{number}:{found[-1] if found else after}")
        after = ""
    return Page(keys, None)


def _sources(kind: str, key: str) -> list[_Source]:
    watched = Watched()
    if kind == ALL:
        return [source for each in reversed(ENTITIES) if key in ("", each) for source in _all(watched, each)]
    links = ((GROUP, watched.group_permissions), (USER, watched.user_permissions))
    return [_holders(each, link, kind, key) for each, link in links]


def _all(watched: Watched, kind: str) -> list[_Source]:
    """Those that the log knows, then those that exist and it does not know."""
    model = watched.model(kind)

    def unknown(keys: list[str]) -> list[str]:
        logged = Entity.objects.filter(kind=kind, key__in=keys).values_list("key", flat=True)
        return sorted(set(keys) - set(logged))

    return [
        _Source(kind, Entity.objects.filter(kind=kind), "key"),
        _Source(kind, model._base_manager.all(), str(model._meta.pk.attname), unknown),
    ]


def _holders(owner: str, link: Link, kind: str, key: str) -> _Source:
    target = link.target.attname if kind == PERMISSION else f"{link.target.name}__content_type_id"
    return _Source(owner, link.through._base_manager.filter(**{target: key}), str(link.owner.attname))
