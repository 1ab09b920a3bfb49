"""Follows the log and publishes each revision, in order, with a heartbeat every second; and does the upkeep.

The cursor moves after the broker has confirmed: a relay that dies publishes again what it may not have
finished, and sidecars ignore what they have. For the same reason two relays at once do no harm.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event
from typing import NamedTuple
from uuid import UUID

import pika
from django.db import DatabaseError, connection

from authz_changelog import clock, sql
from authz_changelog.marks.wakeups import Wait, left_behind, wakeups
from authz_changelog.marks.watched import column
from authz_changelog.models import Cursor, Head, Revision
from authz_changelog.publishing import broker
from authz_changelog.publishing.broker import Broker
from authz_changelog.publishing.upkeep import Upkeep
from authz_changelog.revisions import audit, messages, sequencer
from authz_changelog.revisions.errors import SequencingFailed
from authz_changelog.revisions.transactions import one_snapshot

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 1.0
BATCH = 100
RETRY_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0)
"""Seconds between attempts to reach the broker and the database; the last one is repeated."""


class _Placed(NamedTuple):
    """A revision, in which epoch it lies, and after which one the relay has to go on."""

    revision: Revision
    epoch: UUID
    passed: int


def run(to: pika.URLParameters | None, stopping: Event) -> None:
    """Publish until `stopping` is set; without a broker only do the upkeep. Failures are tried again."""
    failures = 0
    while not stopping.is_set():
        try:
            with _work(to, stopping) as (step, wait):
                while not stopping.is_set():
                    wait(step())
                    failures = 0
        except (*broker.FAILURES, DatabaseError, SequencingFailed) as error:
            connection.close()
            pause = RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)]
            failures += 1
            logger.warning("Interrupted, trying again in %g s: %s", pause, _reason(error))
            stopping.wait(pause)
    logger.info("Stopped.")


def _reason(error: Exception) -> str:
    if isinstance(error, DatabaseError):
        return f"the database says: {' '.join(str(error).split())}"
    return str(error) if isinstance(error, SequencingFailed) else broker.reason(error)


@contextmanager
def _work(to: pika.URLParameters | None, stopping: Event) -> Iterator[tuple[Callable[[], float], Wait]]:
    """What is to be done again and again, and how to wait until it is due."""
    if to is None:
        logger.info("There is no broker: only the upkeep is done.")
        yield Upkeep().step, lambda seconds: _sleep(stopping, seconds)
        return
    with Broker(to) as open_broker, wakeups(stopping) as wait:
        logger.info("Publishing to %s on %s:%s.", broker.EXCHANGE, to.host, to.port)
        yield Relay(open_broker).step, wait


def _sleep(stopping: Event, seconds: float) -> None:
    stopping.wait(seconds)


class Relay:
    """One connection's worth of relaying."""

    def __init__(self, open_broker: Broker) -> None:
        self._broker = open_broker
        self._heartbeat_due = time.monotonic()
        self._upkeep = Upkeep()

    def step(self) -> float:
        """Do what is to be done now; seconds that may pass until the next step."""
        complete = self._relay()
        idle = self._upkeep.step()
        if not complete:
            return 0.0
        due = self._heartbeat_due - time.monotonic()
        return min(idle, due if due > 0 else HEARTBEAT_SECONDS)  # it is due, but nothing can be proved

    def _relay(self) -> bool:
        """Publish and sequence. False when more is pending than one run takes."""
        publish_new(self._broker)  # what writers have sequenced themselves, before anything else
        self._broker.keep_alive()
        due = time.monotonic() >= self._heartbeat_due
        return self._bring_up_to_date() if due or left_behind() else True

    def _bring_up_to_date(self) -> bool:
        now = clock.now()
        audited_at = audit.audited_at(now)
        progress = sequencer.advance()
        epoch, newest = publish_all(self._broker)
        # Only now is it true that at `now` nothing newer had been committed.
        if progress.proved and time.monotonic() >= self._heartbeat_due:
            self._broker.publish(messages.heartbeat(epoch, newest, now, audited_at))
            self._heartbeat_due = time.monotonic() + HEARTBEAT_SECONDS
        return progress.complete


def publish_all(open_broker: Broker) -> tuple[UUID, Revision]:
    """Publish until nothing is left; the epoch and the newest revision then."""
    while True:
        publish_new(open_broker)
        with one_snapshot():
            if not _unpublished():
                head = Head.objects.get()
                return head.epoch, head.newest


def publish_new(open_broker: Broker) -> None:
    """Publish what the cursor has not passed yet."""
    while placed := _unpublished():
        first, _, passed = placed[0]
        if first.pk > passed + 1:
            logger.warning("Revisions %d to %d were pruned unpublished.", passed + 1, first.pk - 1)
        for revision, epoch, _ in placed:
            open_broker.publish(messages.change(epoch, revision))
        published = placed[-1].revision.pk
        Cursor.objects.filter(revision__lt=published).update(revision=published)


def _unpublished() -> list[_Placed]:
    """In one statement, which shows one state of the database: it is on the way of every revocation."""
    fields = [*Revision._meta.concrete_fields, column(Head, "epoch")]
    passed = f"(SELECT revision FROM {sql.table(Cursor)})"  # noqa: S608 (our own table's name)
    pk = sql.at(Revision._meta.pk)
    # Where an epoch begins nothing has changed: there is nothing to be told.
    next_ones = f"{pk} > {passed} AND previous_at IS NOT NULL ORDER BY {pk} LIMIT {BATCH}"
    (rows,) = sql.read(sql.Select(fields, next_ones, joins=f"CROSS JOIN {sql.table(Head)}", also=[passed]))
    return [_Placed(sql.instance(Revision, values), epoch, passed) for *values, epoch, passed in rows]
