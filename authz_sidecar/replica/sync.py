"""Keeps this process's copy of the permissions at the head: the I/O around `core.replica`."""

from __future__ import annotations

from authz_sidecar.core.events import ReplicaObserver, ReplicaStatus
from authz_sidecar.core.types import Clock, Entity, EntityKey, Position
from authz_sidecar.replica.feed import Feed
from authz_sidecar.replica.store import Store
from authz_sidecar.settings import ReplicaSettings


class Replica:
    """Start it, and it follows the User service until it is stopped. Implements `core.decision.View`."""

    def __init__(
        self, settings: ReplicaSettings, feed: Feed, store: Store, clock: Clock, observer: ReplicaObserver
    ) -> None:
        raise NotImplementedError

    async def start(self) -> None:
        """Returns at once; dependencies that are down are waited for in the background."""
        raise NotImplementedError

    async def stop(self) -> None:
        raise NotImplementedError

    @property
    def position(self) -> Position | None:
        raise NotImplementedError

    def staleness(self, now: float) -> float | None:
        raise NotImplementedError

    def entity(self, key: EntityKey) -> Entity | None:
        raise NotImplementedError

    def status(self, now: float) -> ReplicaStatus:
        raise NotImplementedError
