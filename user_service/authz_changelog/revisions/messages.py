"""The messages of the wire contract, as JSON text."""

from __future__ import annotations

import re
from datetime import datetime
from uuid import UUID

from authz_changelog.clock import rfc3339
from authz_changelog.models import Revision

NEWEST = 2
"""The version of the contract that knows every field. The first one does not know `tokens_not_before`."""

_NOT_BEFORE = re.compile(r',"tokens_not_before":\d+(?=\})')
"""In canonical states it is the last field; inside a JSON string its quotes would be escaped."""


def known(states: str, contract: int) -> str:
    """States as canonical JSON, with the fields that this version of the contract knows.

    Whoever does not know a field leaves it out of what it stores, and its digests would never agree.
    """
    return states if contract >= NEWEST else _NOT_BEFORE.sub("", states)


def change(epoch: UUID, revision: Revision, contract: int = NEWEST) -> str:
    """One revision. Its entities are JSON already, and go out as they are kept.

    The broker's messages are for all versions: older ones ignore a field that they do not know.
    """
    return (
        f'{{"v":1,"type":"change","epoch":"{epoch}","revision":{revision.pk},'
        f'"marked_at":{_instant(revision.marked_at)},"previous_at":{_instant(revision.previous_at)},'
        f'"at":{_instant(revision.at)},"entities":{known(revision.entities, contract)}}}'
    )


def _instant(value: datetime | None) -> str:
    return "null" if value is None else f'"{rfc3339(value)}"'


def heartbeat(epoch: UUID, newest: Revision, at: datetime, audited_at: datetime | None) -> str:
    """At `at` the head was `newest`, and contained what the audit had found by `audited_at`."""
    return (
        f'{{"v":1,"type":"heartbeat","epoch":"{epoch}","revision":{newest.pk},'
        f'"revision_at":{_instant(newest.at)},"at":{_instant(at)},"audited_at":{_instant(audited_at)}}}'
    )
