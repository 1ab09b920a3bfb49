"""Whether the log can be said to contain every committed change: the chain of proof begins at the tables.

It can while the triggers are what they were when the log was last compared (`marks.integrity`). Where they
have been touched and fire again, what they may have missed is marked, and the proof is back when that is
sequenced. Where they are not there or do not fire, nothing is proved until somebody mends it.
"""

from __future__ import annotations

import logging
from contextvars import ContextVar
from typing import NamedTuple

from authz_changelog.marks import integrity
from authz_changelog.marks.integrity import Review
from authz_changelog.marks.kinds import ALL
from authz_changelog.marks.triggers import concerned
from authz_changelog.models import Mark
from authz_changelog.revisions.transactions import beside_no_run

logger = logging.getLogger(__name__)

looked: ContextVar[bool] = ContextVar("authz_changelog_looked", default=False)
"""Whether a run in this thread has seen triggers in force, since somebody who asks has set it to false."""
_told = ""
"""The reason that was logged last."""


class Look(NamedTuple):
    """Is anything marked, and why nothing can be proved; empty when it can."""

    marked: bool
    unproved: str


def look(within: float) -> Look:
    """For every run, heartbeat and answer: true of all that was committed before the call."""
    marked, unchanged = integrity.glance()
    if unchanged:
        return Look(marked, _tell(""))
    review = integrity.review()
    if not review.broken:
        with beside_no_run(within):
            review = _compare_what_changed()
    if review.broken:
        return Look(marked, _tell(_reason(review.broken)))
    return Look(marked or bool(review.changed), _tell(""))


def _compare_what_changed() -> Review:
    """From now on the present triggers are trusted, once what changed before has been compared.

    Unless they are broken by now.
    """
    review = integrity.review()
    if review.broken:
        return review
    kinds = {concerned(table) for table in review.changed}
    Mark.objects.bulk_create(Mark(kind=ALL, key=key) for key in ({""} if "" in kinds else sorted(kinds)))
    if integrity.keep(review.fingerprint) and review.changed:
        logger.warning("The triggers of %s were touched: all is compared.", ", ".join(review.changed))
    return review


def _reason(tables: list[str]) -> str:
    return (
        f"changes of {', '.join(tables)} leave no marks: triggers are missing or do not always fire;"
        " run `manage.py install_triggers`"
    )


def _tell(reason: str) -> str:
    """Log it when it is another one than before."""
    global _told
    if reason != _told:
        _told = reason
        if reason:
            logger.error("Nothing can be proved: %s", reason)
        else:
            logger.warning("Triggers are there and fire.")
    return reason
