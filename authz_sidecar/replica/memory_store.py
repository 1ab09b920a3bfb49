"""The replica in this process's memory: the embedded default."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from uuid import uuid4

from authz_sidecar.core.entities import Change, Entity, EntityKey, Position
from authz_sidecar.core.errors import StoreUnavailable
from authz_sidecar.replica.store import Copy, Outcome, Reading

SCAN_BATCH = 1_000


@dataclass(slots=True)
class _Generation:
    entities: dict[EntityKey, Entity] = field(default_factory=dict)
    position: Position | None = None


class MemoryStore:
    """Implements `store.Store`."""

    def __init__(self) -> None:
        self._generations: dict[str, _Generation] = {}
        self._current: str | None = None

    async def current(self) -> Copy | None:
        if self._current is None:
            return None
        position = self._generations[self._current].position
        return None if position is None else Copy(self._current, position)

    async def read(self, keys: Sequence[EntityKey]) -> Reading | None:
        copy = await self.current()
        if copy is None:
            return None
        entities = self._generations[copy.generation].entities
        return Reading(copy, tuple(entities.get(key) for key in keys))

    async def apply(self, generation: str, before: Position, change: Change) -> Outcome:
        copy = await self.current()
        if copy is None or copy.generation != generation:
            return Outcome.NOT_CURRENT
        after = change.position
        if copy.position.epoch == after.epoch and copy.position.revision >= after.revision:
            return Outcome.DUPLICATE
        if copy.position != before or after.revision != before.revision + 1:
            return Outcome.GAP
        held = self._generations[generation]
        held.entities.update((entity.key, entity) for entity in change.entities)
        held.position = after
        return Outcome.APPLIED

    async def claim(self, seconds: float) -> bool:
        """Nobody shares it."""
        return True

    async def release(self, seconds: float) -> None:
        """As above."""

    async def stage(self) -> str:
        generation = uuid4().hex
        self._generations[generation] = _Generation()
        return generation

    async def fill(self, generation: str, entities: Sequence[Entity]) -> None:
        held = self._generations.get(generation)
        if held is None:
            raise StoreUnavailable("the staged copy has vanished")
        held.entities.update((entity.key, entity) for entity in entities)

    async def switch(self, generation: str, position: Position, replaces: str | None) -> bool:
        held = self._generations.get(generation)
        if held is None:
            raise StoreUnavailable("the staged copy has vanished")
        present = await self.current()
        if (
            present is not None
            and present.generation != replaces
            and not _follows(position, present.position)
        ):
            return False
        held.position = position
        self._generations = {generation: held}
        self._current = generation
        return True

    async def discard(self, generation: str) -> None:
        if generation != self._current:
            self._generations.pop(generation, None)

    async def scan(self, generation: str) -> AsyncIterator[Sequence[Entity]]:
        held = self._generations.get(generation)
        entities = list(held.entities.values()) if held else []
        for start in range(0, len(entities), SCAN_BATCH):
            yield entities[start : start + SCAN_BATCH]

    async def repair(self, expected: Copy, entities: Sequence[Entity]) -> bool:
        if await self.current() != expected:
            return False
        self._generations[expected.generation].entities.update((entity.key, entity) for entity in entities)
        return True

    async def close(self) -> None:
        """Nothing is held outside this process."""


def _follows(position: Position, present: Position) -> bool:
    return position.epoch == present.epoch and position.revision >= present.revision
