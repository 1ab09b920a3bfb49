"""Which store holds the copy."""

from __future__ import annotations

from authz_sidecar.config.table import ReplicaSettings
from authz_sidecar.replica.memory_store import MemoryStore
from authz_sidecar.replica.redis_store import RedisStore
from authz_sidecar.replica.store import Store


def of(settings: ReplicaSettings) -> Store:
    """Redis, where there is one; else the memory of this process."""
    if settings.redis_url is None:
        return MemoryStore()
    return RedisStore(settings.redis_url, settings.redis_prefix)
