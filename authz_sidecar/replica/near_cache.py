"""What decisions read: a bounded part of the permissions, in this process, at exactly one position."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from authz_sidecar.core.entities import Change, Entity, EntityKey, Position, UserState
from authz_sidecar.core.naming import Fields, entity_key
from authz_sidecar.core.verdicts import Identity
from authz_sidecar.replica.history import History


class NearCache:
    """Implements `core.decision.View`. Least recently used entities go first.

    Known absences are entries like any other. It grows beyond `size` where less would not hold a user and
    all groups of that user at once, twice: who needs more than there is room for could never be decided on.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._entities: OrderedDict[EntityKey, Entity] = OrderedDict()
        self.position: Position | None = None
        """The newest revision applied here; `None` before the first."""
        self.subject_fields: Fields = ()
        """By which users are named here; the same in all of an epoch."""
        self.history: History | None = None
        self.forgotten = 0
        """How often something that was wrong had to be forgotten."""

    def __len__(self) -> int:
        return len(self._entities)

    def entity(self, key: EntityKey) -> Entity | None:
        entity = self._entities.get(key)
        if entity is not None:
            self._entities.move_to_end(key)
        return entity

    def user(self, identity: Identity) -> EntityKey | None:
        return entity_key(identity, self.subject_fields)

    def restart(self, position: Position, subject_fields: Fields = ()) -> None:
        """Forget everything and stand at `position`, where users are named by these fields."""
        self._entities.clear()
        self.subject_fields = subject_fields
        self.position = position
        self.history = History(position)

    def apply(self, change: Change) -> None:
        """Move to the next revision. Only entities at hand are replaced: a bulk change evicts nobody."""
        entities = self._entities
        for entity in change.entities:
            if entity.key in entities:
                entities[entity.key] = entity
                self._make_room(entity)
        self.position = change.position
        if self.history is not None:
            self.history.append(change)

    def forget(self, keys: Sequence[EntityKey]) -> None:
        """Read these again before they are used."""
        self.forgotten += 1
        for key in keys:
            self._entities.pop(key, None)

    def holds(self, position: Position) -> bool:
        """Whether that position lies on our own history, as far back as it is retained."""
        return self.history is not None and self.history.after(position) is not None

    def admit(self, found: Sequence[Entity], read_at: Position) -> bool:
        """Take over entities from another copy, read when it stood at `read_at`. `False`: not admissible.

        One rule: that copy stood on our own history. Then it was right there, and is right here once the
        changes in between are laid over it. Of a copy that is ahead this is not known before we get there:
        after a restored backup it may have come another way.
        """
        history, here = self.history, self.position
        later = None if history is None else history.after(read_at)
        if later is None or here is None:
            return False
        for entity in found:
            if entity.revision > here.revision:
                return False
        overlay = {entity.key: entity for change in later for entity in change.entities}
        for entity in found:
            self._put(overlay.get(entity.key, entity))
        return True

    def _put(self, entity: Entity) -> None:
        self._entities[entity.key] = entity
        self._entities.move_to_end(entity.key)
        self._make_room(entity)
        if len(self._entities) > self._size:
            self._entities.popitem(last=False)

    def _make_room(self, entity: Entity) -> None:
        state = entity.state
        if isinstance(state, UserState):
            self._size = max(self._size, 2 * (1 + len(state.groups)))
