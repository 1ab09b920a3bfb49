"""What the things that changes name by their keys were called then.

A row that goes takes its name with it, and so does a permission that is renamed. So what a thing was called
at a change is what the next row says that takes the name away, or else what it is called now.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Model, Q

from authz_changelog.marks.kinds import CONTENT_TYPE, GROUP, PERMISSION, USER
from authz_changelog.marks.recording import ITSELF
from authz_changelog.marks.watched import Watched
from authz_changelog.models import Change

Thing = tuple[str, str]
"""Kind and key."""


class Names:
    """Of everything that some changes name."""

    def __init__(self, changes: Collection[Change]) -> None:
        things = {(change.kind, change.key) for change in changes if change.key}
        things |= {(change.what, change.item) for change in changes if change.what != ITSELF and change.item}
        self._gone = _gone(things, since=min((change.pk for change in changes), default=0))
        apps = {(CONTENT_TYPE, item) for rows in self._gone.values() for _, _, item in rows if item}
        self._apps = {(CONTENT_TYPE, key): name for (_, key), name in _living(apps).items()}
        self._gone |= _gone(apps, since=0)
        self._living = _living(things)

    def of(self, kind: str, key: str, change: int) -> str:
        """`change`: by its number."""
        for number, name, item in self._gone.get((kind, key), ()):
            if number >= change and name:
                return f"{self._app(item, number)}.{name}" if kind == PERMISSION else name
        return self._living.get((kind, key)) or f"{kind.replace('_', ' ')} {key}"

    def _app(self, key: str, change: int) -> str:
        return self._apps.get((CONTENT_TYPE, key)) or self.of(CONTENT_TYPE, key, change)


def _gone(things: set[Thing], since: int) -> dict[Thing, list[tuple[int, str, str]]]:
    """The rows that took names away: number, name, item."""
    found: dict[Thing, list[tuple[int, str, str]]] = {}
    if not things:
        return found
    some = [Q(kind=kind, key__in=keys) for kind, keys in _by_kind(things).items()]
    rows = Change.objects.filter(Q(*some, _connector=Q.OR), what=ITSELF, came=False, pk__gte=since)
    for row in rows.order_by("pk").only("kind", "key", "name", "item"):
        found.setdefault((row.kind, row.key), []).append((row.pk, row.name, row.item))
    return found


def _living(things: set[Thing]) -> dict[Thing, str]:
    watched = Watched()
    labels: dict[str, tuple[type[Model], tuple[str, ...]]] = {
        USER: (watched.user, (str(getattr(watched.user, "USERNAME_FIELD")),)),  # noqa: B009 (Model has none)
        GROUP: (watched.group, ("name",)),
        PERMISSION: (watched.permission, ("content_type__app_label", "codename")),
        CONTENT_TYPE: (watched.content_type, ("app_label",)),
    }
    found: dict[Thing, str] = {}
    for kind, keys in _by_kind(things).items():
        model, names = labels[kind]
        by_pk = dict(_primary_keys(model, keys))
        rows = model._base_manager.filter(pk__in=list(by_pk)).values_list("pk", *names)
        found |= {(kind, by_pk[pk]): ".".join(map(str, name)) for pk, *name in rows}
    return found


def _primary_keys(model: type[Model], keys: Iterable[str]) -> Iterable[tuple[Any, str]]:
    for key in keys:
        try:
            yield model._meta.pk.to_python(key), key
        except ValidationError:  # it was forgotten
            continue


def _by_kind(things: set[Thing]) -> dict[str, list[str]]:
    keys: dict[str, list[str]] = {}
    for kind, key in sorted(things):
        if kind in (USER, GROUP, PERMISSION, CONTENT_TYPE):
            keys.setdefault(kind, []).append(key)
    return keys
