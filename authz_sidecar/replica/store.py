"""What a replica store must do. Implementations: `memory_store`, `redis_store`."""

from __future__ import annotations

from typing import Protocol


class Store(Protocol):
    """Holds all grants at exactly one revision."""

    async def close(self) -> None: ...
