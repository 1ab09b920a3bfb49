"""The audit: all of the log is compared with the tables again and again, so that there is a bound even for
what the triggers and our own mechanism miss.

What is compared are the users and the groups that exist, by their keys, and what the log knows, by its rows.
Each of these sections is cut into slices, which lie end to end; a slice knows before which instant its last
comparison did not begin. A step compares the slice that was compared least recently: so many rows from its
beginning (`ROWS`), so a large one is split and small ones become one. What differs is
marked in the transaction that moves the instant, unless it is marked already. So the oldest instant, read
*before* the log is brought up to date, says: what the tables said then, the log says now.

Steps are spread evenly over `AUTHZ_AUDIT_SECONDS`; what was never compared, or is overdue, is compared at
once. `Turn` says when the next step is due. Whoever moves it takes the step, and nobody else does until it is
done or `LEASE` has passed. Instants are of the database's clock; one from the future shows that the clock was
set, and counts as never.
"""

# ruff: noqa: S608 (this module writes SQL from the names of our own tables)
from __future__ import annotations

import logging
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from django.db import DatabaseError, OperationalError, connection
from django.db.models import Exists, F, Max, Min, OuterRef, Q

from authz_changelog import clock, conf, sql
from authz_changelog.marks.kinds import GROUP, USER
from authz_changelog.marks.watched import Watched, column
from authz_changelog.models import Entity, Mark, Slice, Turn
from authz_changelog.revisions import differences, reconcile, suspects
from authz_changelog.revisions.errors import GaveWay, SequencingFailed
from authz_changelog.revisions.states import Key
from authz_changelog.revisions.suspects import Range
from authz_changelog.revisions.transactions import briefly, one_snapshot

logger = logging.getLogger(__name__)

LOG = "log"
SECTIONS = (USER, GROUP, LOG)
NEVER = datetime(1970, 1, 1, tzinfo=UTC)
ROWS = {"postgresql": {USER: 1000, GROUP: 1000, LOG: 2000}, "sqlite": dict.fromkeys(SECTIONS, 250)}
"""Most rows of a step. It should take 20 ms on a machine that has nothing else to do; on a busy one smaller
steps would only be more of them, and more work."""
LEASE = timedelta(seconds=10)
AGAIN = timedelta(seconds=1)
"""Until a slice is tried again that could not be compared."""
PART = 0.9
"""Of the setting `AUDIT_SECONDS`, in which a pass is done: the rest is for steps that come late."""
RELAY_SILENCE = timedelta(seconds=30)
"""After that sidecars' questions bear the audit."""


def begin() -> None:
    """Make one slice of each section that has none, or whose slices do not lie end to end."""
    Turn.objects.get_or_create(pk=1, defaults={"due_at": NEVER})
    following = Slice.objects.filter(section=OuterRef("section"), after=OuterRef("until"))
    ends_in_nothing = Q(until__isnull=False) & ~Exists(following)
    for section in SECTIONS:
        slices = Slice.objects.filter(section=section)
        if not slices.filter(after=None).exists() or slices.filter(ends_in_nothing).exists():
            slices.delete()
            Slice.objects.create(section=section, compared_at=NEVER)


def audited_at(now: datetime) -> datetime | None:
    """Since when everything has been compared; `None` when that is not known."""
    slices = Slice.objects.aggregate(oldest=Min("compared_at"), newest=Max("compared_at"))
    oldest: datetime | None = slices["oldest"]
    return None if oldest in (None, NEVER) or slices["newest"] > now else oldest


def found() -> int:
    """Differences found so far."""
    return Turn.objects.get().found


def seen() -> None:
    """A relay is at work; where that cannot be written down, sidecars' questions bear the audit, too."""
    with suppress(OperationalError), briefly():
        Turn.objects.update(relay_at=clock.now())


def in_passing() -> None:
    """A step by whoever answers a sidecar, while no relay does them; it never keeps him from the answer."""
    try:
        turn, now = Turn.objects.get(), clock.now()
        if turn.relay_at is None or not now - RELAY_SILENCE < turn.relay_at <= now:
            step()
    except (DatabaseError, SequencingFailed) as error:
        logger.warning("The audit cannot go on now: %s", error)


def step() -> float:
    """Compare a slice if one is due; seconds until the next one is. Raises Django's `DatabaseError`."""
    now, began = clock.now(), time.monotonic()
    try:
        if not _claim(now):
            return max(0.0, (Turn.objects.get().due_at - now).total_seconds())
        decided = _compare(_oldest(now), now)
        due = _next(now) if decided else now + AGAIN
        _set_due(due)
    except OperationalError as error:  # what is to be written down is locked by somebody
        logger.warning("The audit cannot go on now: %s", error)
        return AGAIN.total_seconds()
    return max(0.0, (due - now).total_seconds() - (time.monotonic() - began))


def _claim(now: datetime) -> bool:
    latest = now + timedelta(seconds=conf.current().audit_seconds) + LEASE
    return _set_due(now + LEASE, "due_at <= %s OR due_at > %s", now, latest)


def _set_due(due: datetime, where: str = "TRUE", *instants: datetime) -> bool:
    """Whether it could be, at once; where somebody has the turn locked just then, it is due after `LEASE`."""
    turn, at = sql.table(Turn), column(Turn, "due_at")
    unlocked = f"SELECT id FROM {turn} WHERE {where}{_unlocked()}"
    statement = f"UPDATE {turn} SET due_at = %s WHERE id IN ({unlocked})"
    return bool(sql.changed(statement, sql.prepared(at, (due, *instants))))


def _oldest(now: datetime) -> Slice:
    """The slice that was compared least recently."""
    fields, slices = list(Slice._meta.concrete_fields), sql.table(Slice)
    later = f"EXISTS (SELECT 1 FROM {slices} WHERE compared_at > %s)"
    parameters = sql.prepared(column(Slice, "compared_at"), [now])
    (((*values, any_later),),) = sql.read(
        sql.Select(fields, "TRUE ORDER BY compared_at, id LIMIT 1", parameters, also=[later])
    )
    if not any_later:
        return sql.instance(Slice, values)
    with briefly():
        Slice.objects.filter(compared_at__gt=now).update(compared_at=NEVER)
    return Slice.objects.order_by("compared_at", "pk")[0]


def _next(began: datetime) -> datetime:
    """When the step after this one is due."""
    part = timedelta(seconds=conf.current().audit_seconds * PART)
    slices, at = sql.table(Slice), column(Slice, "compared_at")
    ((oldest, count),) = sql.converted(sql.execute(f"SELECT min(compared_at), count(*) FROM {slices}"), [at])
    return began if oldest <= began - part else began + part / count


def _compare(slice_: Slice, now: datetime) -> bool:
    """Compare from the beginning of this slice. `False`: what differs could not be told now."""
    try:
        with one_snapshot(of_watched=True, nowait=True):  # answers and heartbeats come after it
            extent = _extent(slice_, ROWS[connection.vendor][slice_.section])
            found = _differences(slice_.section, Range(slice_.after, extent.until))
    except GaveWay:
        return False
    if found is not None and _note(slice_, extent, found, now):
        for key in found:
            logger.error("The log had missed a change of %s %s; it is mended.", key.kind, key.key)
    return found is not None


class _Extent(NamedTuple):
    """What a step compares: up to `until`. It reaches into slices that end at `end`; `passed` are those after
    the one it began with."""

    until: str | None
    end: str | None
    passed: list[Slice]


def _extent(slice_: Slice, rows: int) -> _Extent:
    """So many rows from the beginning of a slice. Where no slice follows, it goes to the last row."""
    passed: list[Slice] = []
    end = slice_.until
    while (last := _last(slice_.section, Range(slice_.after, end), rows)) is None and end is not None:
        following = Slice.objects.filter(section=slice_.section, after=end).exclude(pk=slice_.pk).first()
        passed += [following] if following else []
        end = following.until if following else None
    return _Extent(end if last is None else last, end, passed)


def _last(section: str, keys: Range, rows: int) -> str | None:
    """The key of the last of so many rows; `None` when there are fewer."""
    pk = (Entity if section == LOG else Watched().model(section))._meta.pk
    where, bounds = keys.within(pk)
    (found,) = sql.read(
        sql.Select([pk], f"{where} ORDER BY {sql.at(pk)} LIMIT 1 OFFSET %s", [*bounds, rows - 1])
    )
    return str(found[0][0]) if found else None


def _differences(section: str, keys: Range) -> list[Key] | None:
    """What differs and is not marked. `None` while what is marked may be the reason."""
    suspected = suspects.logged(keys) if section == LOG else suspects.existing(section, keys)
    if not suspected or not (found := differences.find(suspected)):
        return []
    return reconcile.unmarked(reconcile.marks_of(found))


def _note(slice_: Slice, extent: _Extent, found: list[Key], now: datetime) -> bool:
    """Mark what differs, and move the boundaries and the instant. `False`: somebody else has meanwhile."""
    section, until, last = slice_.section, extent.until, [slice_, *extent.passed][-1]
    if until == extent.end and not (extent.passed or found):  # as nearly always
        return _move(slice_, until, now)
    with briefly():
        if not _move(slice_, until, now):
            return False
        Slice.objects.filter(pk__in=[each.pk for each in extent.passed]).delete()
        if until != extent.end:
            Slice.objects.create(section=section, after=until, until=extent.end, compared_at=last.compared_at)
        if found:
            Mark.objects.bulk_create(Mark(kind=key.kind, key=key.key) for key in found)
            Turn.objects.update(found=F("found") + len(found))
    return True


def _move(slice_: Slice, until: str | None, now: datetime) -> bool:
    """It goes up to there, and was compared now. `False`: somebody else has it, or has moved it meanwhile."""
    slices, at = sql.table(Slice), column(Slice, "compared_at")
    before, after = sql.prepared(at, (slice_.compared_at, now))
    statement = (
        f"UPDATE {slices} SET until = %s, compared_at = %s"
        f" WHERE id IN (SELECT id FROM {slices} WHERE id = %s AND compared_at = %s{_unlocked()})"
        f" AND until IS {'NOT DISTINCT FROM' if connection.vendor == 'postgresql' else ''} %s"
    )
    return bool(sql.changed(statement, [until, after, slice_.pk, before, slice_.until]))


def _unlocked() -> str:
    """Of rows that are looked for: those that nobody has locked."""
    return " FOR UPDATE SKIP LOCKED" if connection.vendor == "postgresql" else ""
