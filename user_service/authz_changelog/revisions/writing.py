"""What a run writes: the next revision, or several where there is too much for one."""

# ruff: noqa: S608 (this module writes SQL from the names of our own tables)
from __future__ import annotations

import json
from collections.abc import Iterator

from django.db import connection

from authz_changelog import clock, sql
from authz_changelog.marks.wakeups import announcing
from authz_changelog.marks.watched import Watched, column
from authz_changelog.models import Entity, Head, Revision
from authz_changelog.revisions import differences, found_ends, overtaking
from authz_changelog.revisions.differences import Difference
from authz_changelog.revisions.pending import LIMIT, SMALL
from authz_changelog.revisions.states import Key

LARGEST = LIMIT + SMALL
"""Entities in one revision; a user is one for each field that names users."""
LARGEST_SIZE = 2_000_000
"""Characters of their states: brokers and sidecars have a limit for one message."""


class Log:
    """The log as the run's snapshot shows it, and what is to be added to it."""

    def __init__(self, found: list[sql.Row]) -> None:
        """`found`: what `reading` says."""
        if not found:
            raise Head.DoesNotExist("the change log has not been set up yet")
        ((*head, self._newest_at, now),) = found
        self.head, self._now = sql.instance(Head, head), clock.instant(now)
        self.written: dict[Key, int] = {}
        """Which revision an entity came into, by what the log calls it."""
        self.statements: list[sql.Statement] = []

    @staticmethod
    def reading() -> sql.Select:
        fields = [*Head._meta.concrete_fields, column(Revision, "at")]
        head, revision = sql.at(column(Head, "revision")), sql.at(Revision._meta.pk)
        newest = f"LEFT JOIN {sql.table(Revision)} ON {revision} = {head}"
        return sql.Select(fields, "TRUE", joins=newest, also=[clock.sql()])

    def write(self, changes: list[Difference], marked_at: sql.Statement) -> None:
        """The differences become the next revision, or several; marked then, in SQL."""
        for part in _parts(found_ends.record(changes)):
            self.head.revision += 1
            self.statements += [self._revision(part, marked_at), *_entities(part, self.head.revision)]
            self._newest_at = self._now
            self.written |= {key: self.head.revision for change in part for key in change.concerns}
        moved = f"UPDATE {sql.table(Head)} SET revision = %s"
        self.statements += [(moved, [self.head.revision]), *announcing()]

    def _revision(self, part: list[Difference], marked_at: sql.Statement) -> sql.Statement:
        marked, parameters = marked_at
        entities = f"[{','.join(change.json() for change in part)}]"
        at = column(Revision, "at")
        now, previous = (at.get_db_prep_value(each, connection) for each in (self._now, self._newest_at))
        return (
            f"INSERT INTO {sql.table(Revision)} (revision, entities, marked_at, at, previous_at)"
            f" VALUES (%s, %s, {marked}, %s, %s)",
            [self.head.revision, entities, *parameters, now, previous],
        )


def _entities(part: list[Difference], revision: int) -> Iterator[sql.Statement]:
    """The new states, also of what is not in the log yet."""
    names, rows = ("revision", *differences.COLUMNS), [(revision, *change.row()) for change in part]
    into = f"INSERT INTO {sql.table(Entity)} ({', '.join(names)})"
    anew = (
        " ON CONFLICT (kind, key) DO UPDATE"
        " SET revision = excluded.revision, state = excluded.state, owner = excluded.owner"
    )
    if connection.vendor == "postgresql":
        columns = "revision bigint, kind text, key text, slot bigint, state text, owner text"
        objects = json.dumps([dict(zip(names, row, strict=True)) for row in rows])
        yield f"{into} SELECT * FROM json_to_recordset(%s::json) AS each({columns}){anew}", [objects]
        return
    at_once = connection.ops.bulk_batch_size([column(Entity, name) for name in names], rows)
    for begin in range(0, len(rows), at_once):
        some = rows[begin : begin + at_once]
        places = ", ".join([f"({', '.join(['%s'] * len(names))})"] * len(some))
        yield f"{into} VALUES {places}{anew}", [value for row in some for value in row]


def _parts(changes: list[Difference]) -> list[list[Difference]]:
    """One revision's worth each."""
    parts = list(_cut(changes))
    return (
        parts if len(parts) == 1 else [part for some in overtaking.in_order(changes) for part in _cut(some)]
    )


def _cut(changes: list[Difference]) -> Iterator[list[Difference]]:
    part: list[Difference] = []
    size, largest = 0, LARGEST * len(Watched().subjects)
    for change in changes:
        size += len(change.state or "")
        if part and (len(part) == largest or size > LARGEST_SIZE):
            yield part
            part, size = [], len(change.state or "")
        part.append(change)
    if part:
        yield part
