"""What other apps ask of the change log."""

from __future__ import annotations

import logging
from datetime import datetime

from django.db import DatabaseError

from changelog.errors import SequencingFailed
from changelog.sequencer import sequence

logger = logging.getLogger(__name__)


def revision_token(since: datetime | None = None) -> str | None:
    """`epoch8.revision` of a state that contains everything committed before the call.

    With `since`: at least what was written since then. `None` when that cannot be said now, for instance
    inside a transaction.
    """
    try:
        return sequence(within=1, since=since).token
    except (DatabaseError, SequencingFailed) as error:
        logger.warning("The change log is behind, it will catch up: %s", error)
        return None
