"""The present state of the log, brought up to date before it is read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import NamedTuple

from django.db import OperationalError

from authz_changelog import clock
from authz_changelog.models import Head
from authz_changelog.revisions import audit, pending, sequencer
from authz_changelog.revisions.errors import SequencingFailed
from authz_changelog.revisions.proof import look
from authz_changelog.revisions.transactions import one_snapshot


class Present(NamedTuple):
    """`head` contains all that was committed before `now`, and what the audit had found by `audited_at`.

    Unless `unproved` says why perhaps not. Then `losses` says whether it contains at least all that was taken
    from anybody: what it says that somebody holds he holds, though he may hold more.
    """

    head: Head
    now: datetime
    audited_at: datetime | None
    unproved: str
    losses: bool


def bring_up_to_date(*, proof: bool = True) -> str:
    """While a lot is pending sidecars must neither occupy every thread nor be in the way of small changes.

    Raises `SequencingFailed` when that cannot be done. Without the need of a `proof` the reason is returned.
    """
    try:
        sequencer.refuse_while_busy()
        sequencer.sequence(within=1)
    except SequencingFailed as error:
        if proof:
            raise
        return str(error)
    return ""


@contextmanager
def present(*, proof: bool = True) -> Iterator[Present]:
    """The present state of the log, in one snapshot of the database."""
    now = clock.now()
    audited_at = audit.audited_at(now)
    unproved = bring_up_to_date(proof=proof)
    heard = not unproved or _triggers_fire()  # before marks are looked at
    with one_snapshot():
        losses = not unproved or (heard and pending.only_gains())
        yield Present(Head.objects.get(), now, audited_at, unproved, losses)


def _triggers_fire() -> bool:
    try:
        return not look(within=1).unproved
    except (SequencingFailed, OperationalError):
        return False
