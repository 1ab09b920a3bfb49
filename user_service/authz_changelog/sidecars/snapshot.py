"""The whole state as lines of JSON, streamed from one database snapshot."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime

from django.db.models import F, QuerySet

from authz_changelog.clock import rfc3339
from authz_changelog.models import Entity, Head
from authz_changelog.revisions import messages
from authz_changelog.revisions.transactions import one_snapshot

CHUNK = 2000


def lines(
    now: datetime,
    audited_at: datetime | None,
    buckets: int = 1,
    bucket: int = 0,
    contract: int = messages.NEWEST,
) -> Iterator[str]:
    """First line, one line per entity that exists (of one bucket of `buckets`), last line.

    `now` and `audited_at` as in `Present`.

    The last line tells a whole snapshot from a truncated one. Memory does not grow with the number of
    entities.
    """
    with one_snapshot():
        entities = Entity.objects.filter(state__isnull=False)
        if buckets > 1:
            entities = entities.annotate(bucket=F("slot") % buckets).filter(bucket=bucket)
        count = entities.count()
        yield _first(count, now, audited_at, contract)
        yield from _entity_lines(entities, contract)
        yield f'{{"type":"end","entities":{count}}}\n'


def _entity_lines(entities: QuerySet[Entity], contract: int) -> Iterator[str]:
    rows = entities.values_list("kind", "key", "revision", "state")
    for kind, key, revision, state in rows.iterator(chunk_size=CHUNK):
        # The state is JSON already, and goes out as it is kept.
        state = messages.known(state or "null", contract)
        quoted = json.dumps(key, ensure_ascii=False)
        yield f'{{"kind":"{kind}","key":{quoted},"revision":{revision},"state":{state}}}\n'


def _first(count: int, now: datetime, audited_at: datetime | None, contract: int) -> str:
    head = Head.objects.get()
    first = {
        "type": "snapshot",
        "v": 1,
        "epoch": str(head.epoch),
        "revision": head.revision,
        "at": rfc3339(head.newest.at),
        "entities": count,
        "now": rfc3339(now),
        "audited_at": None if audited_at is None else rfc3339(audited_at),
        **({} if contract == 1 else {"subject_fields": head.subject_fields}),
    }
    return json.dumps(first, separators=(",", ":")) + "\n"
