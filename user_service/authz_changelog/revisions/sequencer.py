"""Marks become revisions: one run is one database snapshot and makes one revision.

The lock is taken first and the snapshot after it (`transactions.sequencing`), so runs see each other's
results. States are computed from that one snapshot, so a transaction that touches several entities is
never seen half-applied. Only marks visible in the snapshot are deleted, so a change that commits
meanwhile keeps its mark for the next run. No ordinary transaction ever holds the lock.

The only exception to atomicity: when more than `LIMIT` entities are pending, a run takes the smallest
transactions, and then the next larger one or a part of it: an import of 50,000 users neither delays a
revocation, nor is delayed for ever by small changes, nor holds the lock for long. A transaction of more than
`LIMIT` entities becomes several revisions, in the order of its statements; an entity that several of those
pending have changed is shown as the last of them left it. (SQLite does not number transactions: there all
pending marks count as one.)
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta

from django.db import connection
from django.db.models import Count, Min, Q, QuerySet

from authz_changelog import clock
from authz_changelog.models import Entity, Head, Mark, Revision
from authz_changelog.revisions import differences
from authz_changelog.revisions.errors import GaveWay, SequencingFailed
from authz_changelog.revisions.states import Key
from authz_changelog.revisions.transactions import refuse_inside_transaction, sequencing

LIMIT = 1000
"""Entities of a transaction that is surely one revision."""
PART = 400
"""Entities taken at a time from a transaction that has more: the lock is held only briefly."""
SMALL = 250
"""Marks of small transactions that one run takes before any larger one."""
LARGEST = LIMIT + SMALL
"""Entities in one revision."""
BUSY = timedelta(seconds=0.5)
"""Whoever sequences a lot makes a revision more often than this."""
LARGEST_SIZE = 2_000_000
"""Characters of their states: brokers and sidecars have a limit for one message."""


def sequence(within: float = 5.0) -> Head:
    """Bring the log up to date: the head returned contains every change committed before the call.

    Raises `SequencingFailed` when that takes longer than `within` seconds or the connection is inside a
    transaction, and Django's `DatabaseError`.
    """
    deadline = time.monotonic() + within
    while not run(within=deadline - time.monotonic()):
        _refuse_after(deadline, within)
    return Head.objects.get()


def sequence_since(mark: int, within: float) -> Head:
    """As `sequence`, but the head need only contain what was marked after that mark and committed by now."""
    deadline = time.monotonic() + within
    pending = Mark.objects.filter(id__gt=mark, id__lte=last_mark())
    while pending.exists():
        run(within=deadline - time.monotonic(), hurried=True)
        _refuse_after(deadline, within)
    return Head.objects.get()


def _refuse_after(deadline: float, within: float) -> None:
    if time.monotonic() > deadline:
        raise SequencingFailed(f"what is pending could not be sequenced in {within:g} s")


def last_mark() -> int:
    """Any mark made after the call has a greater id, whatever the clocks do."""
    if connection.vendor == "postgresql":
        sql = "SELECT coalesce(pg_sequence_last_value(pg_get_serial_sequence(%s, 'id')::regclass), 0)"
    else:
        sql = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = %s"
    with connection.cursor() as cursor:
        cursor.execute(sql, [Mark._meta.db_table])
        return int(cursor.fetchone()[0])


def refuse_while_busy() -> None:
    """Raise `SequencingFailed` while another is at work on more than one run takes.

    Whoever needs the whole log then would not get it sooner by taking part, only make small changes wait.
    """
    if Mark.objects.all()[LIMIT:].exists() and Head.objects.get().newest.at > clock.now() - BUSY:
        raise SequencingFailed("a lot is pending, and being sequenced by another")


def run(within: float = 5.0, *, hurried: bool = False) -> bool:
    """One run. True when the log then contains every change committed before the call.

    `hurried`: while a lot is pending, small transactions are enough.
    """
    refuse_inside_transaction()
    if not Mark.objects.exists():
        return True
    try:
        with sequencing(within):
            return _sequence(hurried=hurried)
    except GaveWay:
        return False


def _sequence(*, hurried: bool) -> bool:
    pending, complete = _pending(hurried=hurried)
    changes = differences.find(pending)
    marks = Mark.objects.filter(_any_of(pending))
    if changes:
        _log(changes, marks.aggregate(earliest=Min("marked_at"))["earliest"])
    marks.delete()
    return complete


def _pending(*, hurried: bool) -> tuple[list[Key], bool]:
    """The entities of this run, and whether they are all that are marked."""
    entities = _entities(Mark.objects.all())
    if len(entities) <= LIMIT:
        return entities, True
    small, next_larger = _transactions()
    entities = _entities(Mark.objects.filter(tx__in=small))
    if hurried and entities:
        return entities, False
    more = [] if next_larger is None else _entities(Mark.objects.filter(tx=next_larger))
    return [*entities, *(more if len(more) <= LIMIT else more[:PART])], False


def _entities(marks: QuerySet[Mark]) -> list[Key]:
    """What is marked, in the order of the marks; only so many that more than `LIMIT` can be told."""
    entities: dict[Key, None] = {}
    for kind, key in marks.order_by("id").values_list("kind", "key").iterator(chunk_size=LIMIT):
        entities[Key(kind, key)] = None
        if len(entities) > LIMIT:
            break
    return list(entities)


def _transactions() -> tuple[list[int], int | None]:
    """Those with the fewest marks, `SMALL` marks in all, and the next one."""
    small: list[int] = []
    total = 0
    sizes = Mark.objects.values_list("tx").annotate(size=Count("id")).order_by("size", "tx")
    for tx, size in sizes[: SMALL + 1]:
        total += size
        if total > SMALL:
            return small, tx
        small.append(tx)
    return small, None


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
    for part in _parts(changes):
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


def _parts(changes: list[differences.Difference]) -> Iterator[list[differences.Difference]]:
    part: list[differences.Difference] = []
    size = 0
    for change in changes:
        size += len(change.state or "")
        if part and (len(part) == LARGEST or size > LARGEST_SIZE):
            yield part
            part, size = [], len(change.state or "")
        part.append(change)
    yield part
