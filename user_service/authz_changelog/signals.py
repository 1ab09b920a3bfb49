"""An accelerator: sequence right after a commit that Django itself made.

Nothing depends on it. What signals miss (`update()`, raw SQL) is sequenced at the end of the request,
by the relay, or before the next answer to a sidecar.
"""

from __future__ import annotations

import logging

from django.db import DatabaseError, connections, transaction
from django.db.models.signals import m2m_changed, post_delete, post_save

from authz_changelog.marks import naming
from authz_changelog.marks.watched import Watched
from authz_changelog.revisions import sequencer
from authz_changelog.revisions.errors import SequencingFailed

logger = logging.getLogger(__name__)


def connect() -> None:
    if naming.misfits():
        return  # a system check says so; what is asked of the log fails
    watched = Watched()
    for model in (watched.user, watched.group, watched.permission, watched.content_type):
        post_save.connect(_after_commit, sender=model)
        post_delete.connect(_after_commit, sender=model)
    for link in (watched.user_permissions, watched.memberships, watched.group_permissions):
        m2m_changed.connect(_after_commit, sender=link.through)


def _after_commit(using: str, **_: object) -> None:
    database = connections[using]
    if not database.in_atomic_block and not database.get_autocommit():
        return  # a transaction of somebody's own: Django does not hear of its end
    if _advance not in [entry[1] for entry in database.run_on_commit]:
        transaction.on_commit(_advance, using=using, robust=True)


def _advance() -> None:
    """One run takes what was just committed, whatever else is pending, unless it was a lot itself."""
    try:
        sequencer.run(within=1, hurried=True)
    except (DatabaseError, SequencingFailed) as error:
        logger.warning("The change log is behind, it will catch up: %s", error)
