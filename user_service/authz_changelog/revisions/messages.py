"""The messages of the wire contract, as JSON text."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from authz_changelog.clock import rfc3339
from authz_changelog.models import Revision


def change(epoch: UUID, revision: Revision) -> str:
    """One revision. Its entities are JSON already, and go out as they are kept."""
    return (
        f'{{"v":1,"type":"change","epoch":"{epoch}","revision":{revision.pk},'
        f'"marked_at":{_instant(revision.marked_at)},"previous_at":{_instant(revision.previous_at)},'
        f'"at":{_instant(revision.at)},"entities":{revision.entities}}}'
    )


def _instant(value: datetime | None) -> str:
    return "null" if value is None else f'"{rfc3339(value)}"'


def heartbeat(epoch: UUID, newest: Revision, at: datetime) -> str:
    """At `at` the head was `newest`."""
    return (
        f'{{"v":1,"type":"heartbeat","epoch":"{epoch}","revision":{newest.pk},'
        f'"revision_at":{_instant(newest.at)},"at":{_instant(at)}}}'
    )
