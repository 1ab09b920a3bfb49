"""Compares the log with Django's own tables: a safety net that should find nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from authz_changelog.marks.kinds import ALL, GROUP, USER
from authz_changelog.models import Mark
from authz_changelog.revisions import differences, expansion, incarnations
from authz_changelog.revisions.differences import Difference
from authz_changelog.revisions.errors import GaveWay
from authz_changelog.revisions.pending import LIMIT
from authz_changelog.revisions.sequencer import sequence
from authz_changelog.revisions.states import Key
from authz_changelog.revisions.transactions import one_snapshot


def reconcile() -> list[Key]:
    """Compare everything; the entities that differed, which are marked and sequenced."""
    found = [key for batch in steps() for key in batch]
    sequence(within=60)
    return found


def steps() -> Iterator[list[Key]]:
    """Compare, mark what differs and yield it, one bounded batch at a time.

    A batch that cannot be seen now, as somebody rewrites a table, is empty, and comes again.
    """
    position: str | None = ""
    while position is not None:
        try:
            found, position = compare(position, LIMIT)
        except GaveWay:
            found = []
        yield found


def compare(position: str, count: int) -> tuple[list[Key], str | None]:
    """Compare some entities with the log, mark those that differ; these, and the next position."""
    with one_snapshot(of_watched=True):
        page = expansion.page(ALL, [""], position, count)
        found = unmarked(marks_of(differences.find(page.keys))) or []
    Mark.objects.bulk_create(Mark(kind=key.kind, key=key.key) for key in found)
    return found, None if page.again else page.position


def marks_of(found: Iterable[Difference]) -> set[Key]:
    """By primary keys, as in marks: who brings these differences into the log."""
    return {
        Key(kind, incarnations.table_key(key) if kind == GROUP else key)
        for difference in found
        for kind, key in difference.concerns
    }


def unmarked(keys: set[Key]) -> list[Key] | None:
    """Those that are not on their way into the log.

    `None` while something else is on its way that may be the reason.
    """
    marked = Mark.objects.filter(key__in=[key.key for key in keys]).values_list("kind", "key")
    left = sorted(keys - {Key(*mark) for mark in marked})
    return None if left and Mark.objects.exclude(kind=USER).exists() else left
