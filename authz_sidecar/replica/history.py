"""The latest revisions applied here, so that copies that stand a little behind can be brought up to date."""

from __future__ import annotations

from authz_sidecar.core.entities import Change, Position

MAX_ENTITIES = 20_000
"""Entities retained in all."""


class History:
    """An unbroken run of changes that ends where this process stands."""

    def __init__(self, base: Position) -> None:
        self._base = base
        self._changes: dict[int, Change] = {}
        self._entities = 0
        self._end = base

    @property
    def end(self) -> Position:
        """Where this process stands."""
        return self._end

    def append(self, change: Change) -> None:
        self._end = change.position
        self._changes[self._end.revision] = change
        self._entities += len(change.entities)
        while self._entities > MAX_ENTITIES and len(self._changes) > 1:
            oldest = self._changes.pop(next(iter(self._changes)))
            self._entities -= len(oldest.entities)
            self._base = oldest.position

    def after(self, position: Position) -> list[Change] | None:
        """The changes from there to the end; `None` when that point is not on the retained run.

        A position whose `at` is not known is looked up by its revision.
        """
        if not self._holds(position):
            return None
        return [self._changes[revision] for revision in range(position.revision + 1, self._end.revision + 1)]

    def _holds(self, position: Position) -> bool:
        change = self._changes.get(position.revision)
        held = self._base if change is None else change.position
        same_time = None in (held.at, position.at) or held.at == position.at
        return (held.epoch, held.revision) == (position.epoch, position.revision) and same_time
