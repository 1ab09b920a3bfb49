"""Marks become revisions: one run is one database snapshot and makes one revision.

The lock is taken first and the snapshot after it (`transactions.sequencing`), so runs see each other's
results. States are computed from that one snapshot, so a transaction that touches several entities is
never seen half-applied. Only marks visible in the snapshot are deleted, so a change that commits
meanwhile keeps its mark for the next run. No ordinary transaction ever holds the lock.

The only exception to atomicity: when more than `LIMIT` entities are pending, a run takes a part of them
(`pending.py`). A transaction of more than `LIMIT` entities becomes several revisions, in the order of its
statements; an entity that several of those pending have changed is shown as the last of them left it. (SQLite
does not number transactions: there all pending marks count as one.)
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db import connection
from django.db.models import OuterRef, Subquery
from django.db.models.functions import Now

from authz_changelog import clock
from authz_changelog.marks.wakeups import announce
from authz_changelog.marks.watched import Watched
from authz_changelog.models import Entity, Head, Mark, Revision
from authz_changelog.revisions import differences, found_ends, overtaking, pending, proof, settling, subjects
from authz_changelog.revisions.errors import GaveWay, NotProved, SequencingFailed
from authz_changelog.revisions.pending import LIMIT, SMALL
from authz_changelog.revisions.states import Key
from authz_changelog.revisions.transactions import refuse_inside_transaction, sequencing

LARGEST = LIMIT + SMALL
"""Entities in one revision; a user is one for each field that names users."""
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
    while not (progress := advance(within=deadline - time.monotonic())).complete:
        _refuse_after(deadline, within)
    if progress.unproved:
        raise NotProved(progress.unproved)
    return Head.objects.get()


def sequence_since(mark: int, within: float) -> Head:
    """As `sequence`, but the head need only contain what was marked after that mark and committed by now."""
    deadline = time.monotonic() + within
    refuse_inside_transaction()
    marked, unproved = proof.look(within)  # it marks what no trigger saw
    if unproved:
        raise NotProved(unproved)
    if marked:
        waited_for = Mark.objects.filter(id__gt=mark, id__lte=last_mark())
        while waited_for.exists():
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
    lot = Mark.objects.all()[LIMIT:].exists() or Mark.objects.filter(position__gt="").exists()
    if lot and Head.objects.get().newest.at > clock.now() - BUSY:
        raise SequencingFailed("a lot is pending, and being sequenced by another")


def run(within: float = 5.0, *, hurried: bool = False) -> bool:
    """One run. True when the log then contains every change committed before the call.

    `hurried`: while a lot is pending, small transactions are enough.
    """
    return advance(within, hurried=hurried).proved


class Progress(NamedTuple):
    """`complete`: nothing more is marked. `unproved`: why changes may have left no mark; empty if not."""

    complete: bool
    unproved: str

    @property
    def proved(self) -> bool:
        return self.complete and not self.unproved


def advance(within: float = 5.0, *, hurried: bool = False) -> Progress:
    """One run, and what is then known of what was committed before the call."""
    refuse_inside_transaction()
    marked, unproved = proof.look(within)
    return Progress(not marked or _run(within, hurried=hurried), unproved)


def _run(within: float, *, hurried: bool) -> bool:
    try:
        with sequencing(within):
            subjects.refuse_others()
            batch = pending.take(hurried=hurried)
            changes = differences.find(batch.keys, batch.ended)
            if not batch.whole:
                changes = overtaking.prevent(changes, batch)
            logged = _log(changes, batch.earliest()) if changes else {}
            batch.spend()
            settling.settle(batch.keys, batch.ended, logged, whole=batch.whole)
            return batch.whole
    except GaveWay:
        return False


def _log(changes: list[differences.Difference], marked_at: datetime) -> dict[Key, int]:
    """Write the differences as the next revision, or as several when there are too many: whose is which."""
    newest = Revision.objects.filter(pk=OuterRef("revision"))
    head = Head.objects.annotate(newest_at=Subquery(newest.values("at")), now=Now()).get()
    logged: dict[Key, int] = {}
    previous_at, at = head.newest_at, head.now
    for part in _parts(found_ends.record(changes)):
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
            update_fields=["revision", "state", "owner"],
        )
        logged |= {key: head.revision for change in part for key in change.concerns}
    head.save(update_fields=["revision"])
    announce()
    return logged


def _parts(changes: list[differences.Difference]) -> list[list[differences.Difference]]:
    """One revision's worth each."""
    parts = list(_cut(changes))
    return (
        parts if len(parts) == 1 else [part for some in overtaking.in_order(changes) for part in _cut(some)]
    )


def _cut(changes: list[differences.Difference]) -> Iterator[list[differences.Difference]]:
    part: list[differences.Difference] = []
    size, largest = 0, LARGEST * len(Watched().subjects)
    for change in changes:
        size += len(change.state or "")
        if part and (len(part) == largest or size > LARGEST_SIZE):
            yield part
            part, size = [], len(change.state or "")
        part.append(change)
    if part:
        yield part
