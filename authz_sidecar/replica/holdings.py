"""What the replica knows of users and groups, for an operator who asks why."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from authz_sidecar.core.decision import View
from authz_sidecar.core.entities import Entity, EntityKey, GroupState
from authz_sidecar.core.errors import StoreUnavailable
from authz_sidecar.core.verdicts import Identity
from authz_sidecar.explain import Groups
from authz_sidecar.replica.store import Store

SEARCH_SECONDS = 1.0
"""The whole store is read for one question; requests come first, so it may stay unfinished."""


@dataclass(frozen=True, slots=True)
class ReplicaHoldings:
    """Implements `explain.Holdings`."""

    view: View
    store: Store

    def entity(self, key: EntityKey) -> Entity | None:
        return self.view.entity(key)

    def user(self, identity: Identity) -> EntityKey | None:
        return self.view.user(identity)

    async def groups(self) -> Groups:
        """All in the store, or those found in time."""
        found: dict[str, GroupState] = {}
        try:
            async with asyncio.timeout(SEARCH_SECONDS):
                copy = await self.store.current()
                if copy is None:
                    return Groups(found, whole=False)
                async for entities in self.store.scan(copy.generation):
                    for entity in entities:
                        if isinstance(entity.state, GroupState):
                            found[entity.key.key] = entity.state
                    await asyncio.sleep(0)
        except (TimeoutError, StoreUnavailable):
            return Groups(found, whole=False)
        return Groups(found, whole=True)
