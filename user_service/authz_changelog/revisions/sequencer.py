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
from datetime import timedelta
from typing import NamedTuple

from django.db import connection

from authz_changelog import clock, sql
from authz_changelog.models import Head, Mark
from authz_changelog.revisions import differences, overtaking, pending, proof, settling, subjects, writing
from authz_changelog.revisions.errors import GaveWay, NotProved, SequencingFailed
from authz_changelog.revisions.pending import LIMIT
from authz_changelog.revisions.transactions import refuse_inside_transaction, sequencing

BUSY = timedelta(seconds=0.5)
"""Whoever sequences a lot makes a revision more often than this."""


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


def sequence_since(mark: int, within: float, *, looked: bool = False) -> Head:
    """As `sequence`, but the head need only contain what was marked after that mark and committed by now.

    `looked`: since the caller's last write triggers were seen to be in force.
    """
    deadline = time.monotonic() + within
    refuse_inside_transaction()
    if not looked and (unproved := proof.look(within).unproved):  # it marks what no trigger saw
        raise NotProved(unproved)
    until = None
    while (found := _head(mark, until)).marked:
        until = until or last_mark()
        run(within=deadline - time.monotonic(), hurried=True)
        _refuse_after(deadline, within)
    return found.head


class _Since(NamedTuple):
    """The head, and whether what was marked after some mark is not part of it yet."""

    head: Head
    marked: bool


def _head(mark: int, until: int | None) -> _Since:
    fields = list(Head._meta.concrete_fields)
    where, bounds = ("id > %s", [mark]) if until is None else ("id > %s AND id <= %s", [mark, until])
    marked = f"EXISTS (SELECT 1 FROM {sql.table(Mark)} WHERE {where})"  # noqa: S608 (our own table's name)
    (((*head, left),),) = sql.read(sql.Select(fields, "TRUE", bounds, also=[marked]))
    return _Since(sql.instance(Head, head), bool(left))


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
    complete = not marked or _run(within, hurried=hurried)
    proof.looked.set(not unproved)
    return Progress(complete, unproved)


def _run(within: float, *, hurried: bool) -> bool:
    try:
        with sequencing(within, writing.Log.reading(), pending.reading()) as (head, marks):
            log = writing.Log(head)
            subjects.refuse_others(log.head.subject)
            batch = pending.take(marks, hurried=hurried)
            changes = differences.find(batch.keys, batch.ended)
            if not batch.whole:
                changes = overtaking.prevent(changes, batch)
            if changes:
                log.write(changes, batch.marked_at())
            settled = settling.settle(batch.keys, batch.ended, log.written, whole=batch.whole)
            sql.together([*log.statements, batch.spend(), *settled])
            return batch.whole
    except GaveWay:
        return False
