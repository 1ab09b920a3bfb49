"""An accelerator: sequence right after a commit that Django itself made.

Nothing depends on it. What signals miss (`update()`, raw SQL) is sequenced at the end of the request,
by the relay, or before the next answer to a sidecar.
"""

from __future__ import annotations

from django.db import transaction
from django.db.models.signals import m2m_changed, post_delete, post_save

from changelog.selectors import revision_token
from changelog.watched import Watched


def connect() -> None:
    watched = Watched()
    for model in (watched.user, watched.group, watched.permission, watched.content_type):
        post_save.connect(_after_commit, sender=model)
        post_delete.connect(_after_commit, sender=model)
    for link in (watched.user_permissions, watched.memberships, watched.group_permissions):
        m2m_changed.connect(_after_commit, sender=link.through)


def _after_commit(using: str, **_: object) -> None:
    transaction.on_commit(revision_token, using=using, robust=True)
