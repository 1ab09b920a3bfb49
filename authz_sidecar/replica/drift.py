"""A safety net that should find nothing: compares the store with the User service and repairs it."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

from authz_sidecar.core.digest import Digests, bucket_of
from authz_sidecar.core.entities import Entity, EntityKey, Position
from authz_sidecar.core.errors import HistoryGone, MalformedMessage, Unavailable
from authz_sidecar.core.ports import ReplicaObserver
from authz_sidecar.replica.near_cache import NearCache
from authz_sidecar.replica.store import Copy, Store
from authz_sidecar.source import UserServiceClient

INTERVAL = 600.0
"""Seconds between comparisons, on average."""
BUCKETS = 1_024
REACH_SECONDS = 5.0
ATTEMPTS = 5
"""A repair is put off when changes keep coming in between."""

logger = logging.getLogger(__name__)


class DriftCheck:
    """Whole buckets are compared; only those that differ are fetched.

    `reached` waits so many seconds at most until this process has applied a revision: what is repaired, and
    what it is repaired by, must both lie on our own history.
    """

    def __init__(
        self,
        store: Store,
        user_service: UserServiceClient,
        near: NearCache,
        reached: Callable[[int, float], Awaitable[bool]],
        observer: ReplicaObserver,
    ) -> None:
        self._store = store
        self._user_service = user_service
        self._near = near
        self._reached = reached
        self._observer = observer

    async def run(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL * random.uniform(0.5, 1.5))  # noqa: S311 (jitter)
            try:
                await self.check()
            except (Unavailable, MalformedMessage, HistoryGone) as error:
                logger.info("the store could not be compared: %s", error)

    async def check(self) -> int:
        """Compare everything once. Returns the number of entities repaired."""
        copy = await self._store.current()
        if copy is None or not self._near.holds(copy.position):
            return 0
        theirs = await self._user_service.digest(BUCKETS)
        ours = Digests(BUCKETS)
        async for part in self._store.scan(copy.generation):
            ours.add(part)
            await asyncio.sleep(0)
        if theirs.epoch != copy.position.epoch or theirs.revision < copy.position.revision:
            return 0
        still = copy.position.revision  # in buckets that are no newer, nothing has happened since
        differing = [
            bucket
            for bucket, their in enumerate(theirs.buckets)
            if max(their.revision, ours.revisions[bucket]) <= still and their.digest != ours[bucket]
        ]
        return sum([await self._repair(bucket, copy) for bucket in differing])

    async def _repair(self, bucket: int, copy: Copy) -> int:
        async with self._user_service.snapshot(bucket, BUCKETS) as snapshot:
            right = {entity.key: entity async for entity in snapshot.entities}
        async for part in self._store.scan(copy.generation):
            for entity in part:
                if entity.key not in right and bucket_of(entity.key, BUCKETS) == bucket:
                    right[entity.key] = Entity(entity.key, snapshot.position.revision, None)
        if not await self._reached(snapshot.position.revision, REACH_SECONDS):
            return 0
        for _ in range(ATTEMPTS):
            repaired = await self._overwrite(right, snapshot.position)
            if repaired is not None:
                return repaired
        return 0

    async def _overwrite(self, right: dict[EntityKey, Entity], as_of: Position) -> int | None:
        """Write what differs; `None` when the store has moved meanwhile."""
        reading = await self._store.read(list(right))
        if reading is None or reading.copy.position.revision > as_of.revision:
            return 0
        if not (self._near.holds(as_of) and self._near.holds(reading.copy.position)):
            return 0
        wrong = [
            entity
            for entity, stored in zip(right.values(), reading.entities, strict=True)
            if stored != entity
            and not _same_absence(stored, entity)
            and _is_due(entity, reading.copy.position)
        ]
        if not await self._store.repair(reading.copy, wrong):
            return None
        self._near.forget([entity.key for entity in wrong])
        if wrong:
            logger.error("the store differed from the User service in %d entities: repaired", len(wrong))
            self._observer.drift(len(wrong))
        return len(wrong)


def _same_absence(stored: Entity | None, entity: Entity) -> bool:
    return entity.state is None and (stored is None or stored.state is None)


def _is_due(entity: Entity, position: Position) -> bool:
    """What changed after our position will arrive anyway. Since when something is gone is not known."""
    return entity.revision <= position.revision or entity.state is None
