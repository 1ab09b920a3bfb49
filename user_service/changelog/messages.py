"""The messages of the wire contract, as JSON text."""

from __future__ import annotations

import json
from datetime import datetime
from uuid import UUID

from changelog.clock import rfc3339
from changelog.models import Revision


def change(epoch: UUID, revision: Revision) -> str:
    """One revision. Its entities are JSON already, and go out as they are kept."""
    marked_at = f'"{rfc3339(revision.marked_at)}"' if revision.marked_at else "null"
    return (
        f'{{"v":1,"type":"change","epoch":"{epoch}","revision":{revision.pk},"marked_at":{marked_at},'
        f'"at":"{rfc3339(revision.at)}","entities":{revision.entities}}}'
    )


def heartbeat(epoch: UUID, revision: int, at: datetime) -> str:
    """At `at` the head was `revision`."""
    body = {"v": 1, "type": "heartbeat", "epoch": str(epoch), "revision": revision, "at": rfc3339(at)}
    return json.dumps(body, separators=(",", ":"))
