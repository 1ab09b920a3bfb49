"""Digests of a copy, bucket by bucket, as the User service computes them (its `revisions/digest.py`)."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

from authz_sidecar.core.documents import encode_state
from authz_sidecar.core.entities import Entity, EntityKey


def bucket_of(key: EntityKey, buckets: int) -> int:
    return int.from_bytes(sha256(f"{key.kind}:{key.key}".encode()).digest()[:4]) % buckets


class Digests:
    """Collects entities in any order. Deleted ones count for a bucket's revision only."""

    def __init__(self, buckets: int) -> None:
        self._digests = [0] * buckets
        self.revisions = [0] * buckets
        """The newest entity of each bucket."""

    def add(self, entities: Iterable[Entity]) -> None:
        for entity in entities:
            bucket = bucket_of(entity.key, len(self._digests))
            self.revisions[bucket] = max(self.revisions[bucket], entity.revision)
            if entity.state is not None:
                self._digests[bucket] ^= int.from_bytes(sha256(_line(entity)).digest())

    def __getitem__(self, bucket: int) -> str:
        return f"{self._digests[bucket]:064x}"


def _line(entity: Entity) -> bytes:
    kind, key = entity.key
    return f"{kind}\t{key}\t{entity.revision}\t{encode_state(entity.state)}".encode()
