"""What the log needs beside being published: what is old is deleted, and the audit goes on."""

from __future__ import annotations

import time
from datetime import timedelta

from authz_changelog import conf
from authz_changelog.revisions import audit
from authz_changelog.revisions.epochs import prune, prune_history

PRUNE_SECONDS = 3600.0
SHOW_SECONDS = 5.0
"""How often a relay shows that it is there."""
AUDIT_SECONDS = 1.0
"""How often it is asked at the least whether the audit is due: clocks are set, and settings changed."""


class Upkeep:
    """That of one relay."""

    def __init__(self) -> None:
        self._prune_due = self._show_due = self._audit_due = time.monotonic()

    def step(self) -> float:
        """Do what is due, in milliseconds; seconds until the next step. Raises Django's `DatabaseError`."""
        now = time.monotonic()
        if now >= self._show_due:
            audit.seen()
            self._show_due = now + SHOW_SECONDS
        if now >= self._prune_due:
            prune(timedelta(days=conf.current().retention_days))
            prune_history(timedelta(days=conf.current().history_days))
            audit.begin()
            self._prune_due, self._audit_due = now + PRUNE_SECONDS, now
        if now >= self._audit_due:
            self._audit_due = now + min(audit.step(), AUDIT_SECONDS)
        return max(0.0, min(self._audit_due, self._show_due) - time.monotonic())
