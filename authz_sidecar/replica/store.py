"""What a replica store must do. One conformance suite runs against every implementation.

A store holds *generations*: whole copies of the permissions, each under a random name and exactly at one
position. One of them is current. A generation's position and its entities live and die together,
so an entity that is absent from a generation whose position can be read did not exist there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from authz_sidecar.core.entities import Change, Entity, EntityKey, Position


@dataclass(frozen=True, slots=True)
class Copy:
    """A generation and where it stands."""

    generation: str
    position: Position


@dataclass(frozen=True, slots=True)
class Reading:
    """Entities of one copy, read in one step; `None` for those absent from it."""

    copy: Copy
    entities: tuple[Entity | None, ...]


class Outcome(StrEnum):
    """What became of an `apply`."""

    APPLIED = "applied"
    DUPLICATE = "duplicate"
    """The copy stands at this revision or a later one."""
    GAP = "gap"
    """The copy stands before `before`, or on another history."""
    NOT_CURRENT = "not_current"
    """This generation is gone, or is not the current one."""


class Store(Protocol):
    """Every method raises `StoreUnavailable` when the store cannot answer in time."""

    async def current(self) -> Copy | None:
        """The current generation; `None` when there is no usable one."""

    async def read(self, keys: Sequence[EntityKey]) -> Reading | None:
        """Entities of the current generation; `None` when there is no usable one."""

    async def apply(self, generation: str, before: Position, change: Change) -> Outcome:
        """Take a copy from `before` to `change`, all entities and the position in one step, or do nothing."""

    async def claim(self, seconds: float) -> bool:
        """Take the turn to load a copy, for that long. `False`: another process has taken it."""

    async def release(self, seconds: float) -> None:
        """End the turn to load that this process has, that long from now."""

    async def stage(self) -> str:
        """A new generation that nobody reads yet. It vanishes unless it is written to."""

    async def fill(self, generation: str, entities: Sequence[Entity]) -> None:
        """Write a part of a staged generation. `StoreUnavailable` when it has vanished."""

    async def switch(self, generation: str, position: Position, replaces: str | None) -> bool:
        """Make a staged generation the current one. `False`: the present one must stay.

        It gives way when it is `replaces` (known to be of no use), or within its epoch to a revision not
        older than its own.
        """

    async def discard(self, generation: str) -> None:
        """Remove a generation that will not be switched to."""

    def scan(self, generation: str) -> AsyncIterator[Sequence[Entity]]:
        """All entities, in parts, while changes go on being applied."""

    async def repair(self, expected: Copy, entities: Sequence[Entity]) -> bool:
        """Overwrite entities if the copy still stands exactly there."""

    async def close(self) -> None: ...
