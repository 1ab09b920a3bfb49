"""The present state of the log, brought up to date before it is read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import NamedTuple

from authz_changelog import clock
from authz_changelog.models import Head
from authz_changelog.revisions import sequencer
from authz_changelog.revisions.transactions import one_snapshot


class Present(NamedTuple):
    """`head` contains everything that was committed before `now`."""

    head: Head
    now: datetime


def bring_up_to_date() -> None:
    """While a lot is pending sidecars must neither occupy every thread nor be in the way of small changes."""
    sequencer.refuse_while_busy()
    sequencer.sequence(within=1)


@contextmanager
def present() -> Iterator[Present]:
    """The present state of the log, in one snapshot of the database."""
    now = clock.now()
    bring_up_to_date()
    with one_snapshot():
        yield Present(Head.objects.get(), now)
