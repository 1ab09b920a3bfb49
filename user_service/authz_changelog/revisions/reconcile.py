"""Compares the log with Django's own tables: a safety net that should find nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db.models import QuerySet

from authz_changelog.marks.watched import GROUP, USER, Watched
from authz_changelog.models import Entity, Mark
from authz_changelog.revisions import differences
from authz_changelog.revisions.errors import GaveWay
from authz_changelog.revisions.sequencer import LIMIT, sequence
from authz_changelog.revisions.states import Key
from authz_changelog.revisions.transactions import one_snapshot


def reconcile() -> list[Key]:
    """Compare everything; the entities that differed, which are marked and sequenced."""
    found = [key for batch in steps() for key in batch]
    sequence(within=60)
    return found


def steps() -> Iterator[list[Key]]:
    """Compare, mark what differs and yield it, one bounded batch at a time."""
    for keys in _batches():
        found = None
        while found is None:
            found = _unmarked_differences(keys)
            Mark.objects.bulk_create(Mark(kind=key.kind, key=key.key) for key in found or ())
            yield found or []


def _unmarked_differences(keys: list[Key]) -> list[Key] | None:
    """A difference that is marked is on its way into the log, not lost. `None`: not to be seen now."""
    try:
        with one_snapshot(of_watched=True):
            return _differences(keys)
    except GaveWay:
        return None


def _differences(keys: list[Key]) -> list[Key]:
    found = {difference.key for difference in differences.find(keys)}
    marked = Mark.objects.filter(key__in=[key.key for key in found]).values_list("kind", "key")
    return sorted(found - {Key(*mark) for mark in marked})


def _batches() -> Iterator[list[Key]]:
    """All entities the log knows, then all that exist."""
    for kind in (USER, GROUP):
        for rows in _pages(Entity.objects.filter(kind=kind), "key"):
            yield [Key(kind, key) for key in rows]
        for rows in _pages(Watched().model(kind)._base_manager.all(), "pk"):
            yield [Key(kind, str(key)) for key in rows]


def _pages(rows: QuerySet[Any], field: str) -> Iterator[list[Any]]:
    """Values of a unique field, page by page: no cursor stays open between them."""
    values = rows.order_by(field).values_list(field, flat=True)
    page = list(values[:LIMIT])
    while page:
        yield page
        page = list(values.filter(**{f"{field}__gt": page[-1]})[:LIMIT])
