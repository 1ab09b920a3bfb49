"""Marks become revisions: one run is one database snapshot and makes one revision.

The lock is taken first and the snapshot after it (`transactions.sequencing`), so runs see each other's
results. States are computed from that one snapshot, so a transaction that touches several entities is
never seen half-applied. Only marks visible in the snapshot are deleted, so a change that commits
meanwhile keeps its mark for the next run. No ordinary transaction ever holds the lock.

The only exception to atomicity: a run takes at most `LIMIT` entities. When more are pending, the
transactions that touch the fewest go first, whole as far as they fit: an import of 50,000 users neither
delays a revocation nor holds the lock for long. A larger transaction becomes several revisions, in the
order of its statements. (SQLite does not number transactions: there all pending marks count as one.)
"""

from __future__ import annotations

import time
from datetime import datetime

from django.db.models import Count, Min, Q, QuerySet

from changelog import clock, differences
from changelog.errors import SequencingFailed
from changelog.models import Entity, Head, Mark, Revision
from changelog.states import Key
from changelog.transactions import refuse_inside_transaction, sequencing

LIMIT = 1000
"""Entities in one run, and in one revision."""
PART = 250
"""Entities taken at a time from a transaction that has more: the lock is held only briefly."""


def sequence(within: float = 5.0) -> Head:
    """Bring the log up to date: the head returned contains every change committed before the call.

    Raises `SequencingFailed` when that takes longer than `within` seconds or the connection is inside a
    transaction, and Django's `DatabaseError`.
    """
    deadline = time.monotonic() + within
    while not run(within=deadline - time.monotonic()):
        if time.monotonic() > deadline:
            raise SequencingFailed(f"more changes are pending than could be sequenced in {within:g} s")
    return Head.objects.get()


def run(within: float = 5.0) -> bool:
    """One run. True when the log then contains every change committed before the call."""
    refuse_inside_transaction()
    if not Mark.objects.exists():
        return True
    with sequencing(within):
        pending, complete = _pending()
        changes = differences.find(pending)
        marks = Mark.objects.filter(_any_of(pending))
        if changes:
            _log(changes, marks.aggregate(earliest=Min("marked_at"))["earliest"])
        marks.delete()
    return complete


def _pending() -> tuple[list[Key], bool]:
    """The entities of this run, and whether they are all that are marked."""
    entities = _entities(Mark.objects.all())
    if len(entities) <= LIMIT:
        return entities, True
    entities = _entities(Mark.objects.filter(tx__in=_smallest_transactions()))
    return entities if len(entities) <= LIMIT else entities[:PART], False


def _entities(marks: QuerySet[Mark]) -> list[Key]:
    """What is marked, in the order of the marks; only so many that more than `LIMIT` can be told."""
    entities: dict[Key, None] = {}
    for kind, key in marks.order_by("id").values_list("kind", "key").iterator(chunk_size=LIMIT):
        entities[Key(kind, key)] = None
        if len(entities) > LIMIT:
            break
    return list(entities)


def _smallest_transactions() -> list[int]:
    """Those with the fewest marks, as many as surely fit into one run; at least one."""
    chosen: list[int] = []
    total = 0
    sizes = Mark.objects.values_list("tx").annotate(size=Count("id")).order_by("size", "tx")
    for tx, size in sizes[:LIMIT]:
        total += size
        if chosen and total > LIMIT:
            break
        chosen.append(tx)
    return chosen


def _any_of(entities: list[Key]) -> Q:
    """Every mark of these entities that the snapshot shows: their states contain all those changes."""
    keys: dict[str, list[str]] = {}
    for kind, key in entities:
        keys.setdefault(kind, []).append(key)
    return Q(*(Q(kind=kind, key__in=some) for kind, some in keys.items()), _connector=Q.OR)


def _log(changes: list[differences.Difference], marked_at: datetime) -> None:
    """Write the differences as the next revision, or as several when there are too many for one."""
    head = Head.objects.get()
    previous_at, at = head.newest.at, clock.now()
    for start in range(0, len(changes), LIMIT):
        part = changes[start : start + LIMIT]
        head.revision += 1
        Revision.objects.create(
            revision=head.revision,
            entities=f"[{','.join(change.json() for change in part)}]",
            marked_at=marked_at,
            at=at,
            previous_at=previous_at,
        )
        previous_at = at
        Entity.objects.bulk_create(
            [change.entity(head.revision) for change in part],
            update_conflicts=True,
            unique_fields=["kind", "key"],
            update_fields=["revision", "state"],
        )
    head.save(update_fields=["revision"])
