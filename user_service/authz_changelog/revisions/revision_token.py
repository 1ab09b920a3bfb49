"""What other apps ask of the change log."""

from __future__ import annotations

import logging

from django.db import DatabaseError

from authz_changelog.revisions import sequencer
from authz_changelog.revisions.errors import SequencingFailed

logger = logging.getLogger(__name__)


def revision_token(since: int | None = None, *, looked: bool = False) -> str | None:
    """`epoch8.revision` of a state that contains everything committed before the call.

    With `since`: at least what was marked after that mark; `looked` is of `sequence_since`. `None` when that
    cannot be said now, for instance inside a transaction.
    """
    try:
        if since is not None:
            return sequencer.sequence_since(since, within=1, looked=looked).token
        sequencer.refuse_while_busy()
        return sequencer.sequence(within=1).token
    except (DatabaseError, SequencingFailed) as error:
        logger.warning("The change log is behind, it will catch up: %s", error)
        return None
