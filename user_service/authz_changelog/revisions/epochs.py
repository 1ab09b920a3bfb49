"""The beginning and the retention of a history of revisions, and of what is told of changes."""

from __future__ import annotations

import uuid
from datetime import timedelta

from django.db import transaction

from authz_changelog import clock
from authz_changelog.models import Change, Cursor, Head, Revision
from authz_changelog.revisions.transactions import beside_no_run


def ensure_epoch() -> None:
    """Begin the first epoch of a new database."""
    if Head.objects.exists():
        return
    with transaction.atomic():
        Head.objects.create(pk=1, revision=0, epoch=uuid.uuid4())
        Cursor.objects.create(pk=1, revision=0)
        _begin(0)


def new_epoch() -> Head:
    """Begin another history, after a restore: sidecars take a snapshot instead of following on.

    Revision numbers go on from where the restored database is; the log begins anew.
    """
    with beside_no_run(seconds=30):
        return begin_another()


def begin_another(**fields: str) -> Head:
    """As `new_epoch`, where no run is beside; with other `fields` of the head."""
    Revision.objects.all().delete()
    Head.objects.update(epoch=uuid.uuid4(), **fields)
    head = Head.objects.get()
    _begin(head.revision)
    return head


def prune(retention: timedelta) -> int:
    """Delete revisions older than `retention`, never the newest; how many they were."""
    head = Head.objects.get()
    deleted, _ = Revision.objects.filter(at__lt=clock.now() - retention, pk__lt=head.revision).delete()
    return deleted


def prune_history(retention: timedelta) -> int:
    """Delete what is told of changes older than `retention` and in the log; how many they were."""
    old = Change.objects.filter(at__lt=clock.now() - retention, pending=False)
    deleted, _ = old.delete()
    return deleted


def _begin(revision: int) -> None:
    """Every revision of an epoch can be named by its `at`, the one it begins at too."""
    Revision.objects.create(pk=revision, entities="[]", at=clock.now())
