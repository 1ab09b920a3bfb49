"""Digests by which a sidecar finds out that its copy has drifted, bucket by bucket.

The bucket of an entity, and its contribution to the bucket's digest, in bytes of UTF-8:

    slot    = first 4 bytes of sha256(kind + ":" + key), as an unsigned big-endian number
    bucket  = slot mod B
    line    = kind TAB key TAB revision TAB canonical JSON of the state
    digest  = the XOR of sha256(line) over the bucket's entities that exist, in 64 hex digits

Canonical JSON has sorted keys, no spaces, and no escapes that JSON does not require (Python:
`sort_keys=True, separators=(",", ":"), ensure_ascii=False`). An empty bucket's digest is 64 zeros.

A bucket's `revision` is the newest of its entities, deleted ones included, or 0. A copy that is exactly at
revision A can be compared with an answer of revision H in the buckets whose revision is at most A, if
A is at most H: there nothing has happened between the two.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from authz_changelog.models import Entity
from authz_changelog.revisions import messages


def slot(kind: str, key: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{kind}:{key}".encode()).digest()[:4])


@dataclass
class Bucket:
    digest: int = 0
    revision: int = 0

    def json(self) -> dict[str, str | int]:
        return {"digest": f"{self.digest:064x}", "revision": self.revision}


def buckets(count: int, contract: int = messages.NEWEST) -> list[Bucket]:
    """Every bucket of the present state, in order. Memory does not grow with the number of entities.

    The states are those that a caller knows who speaks this version of the contract.
    """
    found = [Bucket() for _ in range(count)]
    entities = Entity.objects.values_list("slot", "kind", "key", "revision", "state")
    for slot_, kind, key, revision, state in entities.iterator(chunk_size=5000):
        bucket = found[slot_ % count]
        bucket.revision = max(bucket.revision, revision)
        if state is not None:
            line = f"{kind}\t{key}\t{revision}\t{messages.known(state, contract)}"
            bucket.digest ^= int.from_bytes(hashlib.sha256(line.encode()).digest())
    return found
