"""The past of the permissions in memory: what each user and group held at every revision of an archive."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path

from authz_sidecar.archive.files import ArchiveBroken, Text, texts
from authz_sidecar.core import wire
from authz_sidecar.core.decision import View
from authz_sidecar.core.documents import MAX_INTEGER, Document
from authz_sidecar.core.entities import Change, Entity, EntityKey, Position, RevisionToken
from authz_sidecar.core.errors import MalformedMessage
from authz_sidecar.core.naming import Fields, entity_key
from authz_sidecar.core.verdicts import Identity
from authz_sidecar.core.wire import SnapshotEnd


@dataclass(frozen=True, slots=True)
class Moment:
    """One revision, and since when it was in force (Unix seconds by the archive's clock)."""

    position: Position
    since: float
    subject_fields: Fields = None
    """By which users are named there; `None` where the archive does not say."""


@dataclass(frozen=True, slots=True)
class State:
    """Implements `core.decision.View`: everything as it was at one moment. It knows every entity."""

    timeline: Timeline
    index: int

    @property
    def position(self) -> Position:
        return self.timeline.moments[self.index].position

    def entity(self, key: EntityKey) -> Entity:
        return self.timeline.latest(key, self.index) or Entity(key, 0, None)

    def user(self, identity: Identity) -> EntityKey | None:
        return entity_key(identity, self.timeline.moments[self.index].subject_fields)

    def earlier(self) -> Iterator[tuple[State, State]]:
        """Each change of any known entity up to here, the latest first: before it and after it."""
        indices = {index for states in self.timeline.entities.values() for index, _ in states}
        for index in sorted(indices, reverse=True):
            if 0 < index <= self.index:
                yield State(self.timeline, index - 1), State(self.timeline, index)


@dataclass(slots=True)
class Timeline:
    """All moments in order, and of each entity the states it had, with the index of their moment."""

    moments: list[Moment] = field(default_factory=list)
    entities: dict[EntityKey, list[tuple[int, Entity]]] = field(default_factory=dict)
    _indices: dict[Position, int] = field(default_factory=dict)

    def at(self, position: Position) -> View | None:
        """As it was at that revision of that history; `None` where the archive does not have it."""
        index = self._indices.get(position)
        return None if index is None else State(self, index)

    def at_token(self, token: RevisionToken) -> State | None:
        """As it was at a revision token; the latest where a restored backup had it twice."""
        found = [index for position, index in self._indices.items() if position.token == token]
        return State(self, max(found)) if found else None

    def at_time(self, instant: float) -> State | None:
        """As it was at that instant, in Unix seconds; `None` before the archive begins."""
        index = bisect_right(self.moments, instant, key=attrgetter("since")) - 1
        return State(self, index) if index >= 0 else None

    def latest(self, key: EntityKey, index: int) -> Entity | None:
        """The last state of an entity at or before a moment."""
        states = self.entities.get(key, [])
        found = bisect_right(states, index, key=lambda each: each[0]) - 1
        return states[found][1] if found >= 0 else None

    def add(self, moment: Moment, entities: Iterator[Entity] | tuple[Entity, ...]) -> None:
        """What changed at the next moment."""
        index = len(self.moments)
        self.moments.append(moment)
        self._indices[moment.position] = index
        for entity in entities:
            self.entities.setdefault(entity.key, []).append((index, entity))


def load(archive: Path, wanted: Callable[[EntityKey], bool] = lambda key: True) -> Timeline:
    """The wanted entities' past. Raises OSError, and ArchiveBroken with the line."""
    timeline = Timeline()
    lines = texts(archive)
    for line in lines:
        try:
            document = Document.parse(line.text, "line")
            since = document.value("archived_at")
            if not isinstance(since, int | float):
                raise MalformedMessage("archived_at: must be a number")
            if document.value("type") == "snapshot":
                begins = Moment(document.position(), since, wire.subject_fields(document))
                _begin(timeline, begins, _snapshot(lines, wanted))
            else:
                _follow(timeline, wire.parse_change(line.text.encode()), since, wanted)
        except MalformedMessage as error:
            raise ArchiveBroken(f"{line.place}: {error}") from error
    return timeline


def _begin(timeline: Timeline, moment: Moment, entities: dict[EntityKey, Entity]) -> None:
    """A snapshot: one that repeats the state before it says nothing new."""
    revision = moment.position.revision
    if timeline.moments and timeline.moments[-1].position == moment.position:
        return
    gone = (Entity(key, revision, None) for key in timeline.entities if key not in entities)
    timeline.add(moment, iter([*entities.values(), *gone]))


def _follow(timeline: Timeline, change: Change, since: float, wanted: Callable[[EntityKey], bool]) -> None:
    last = timeline.moments[-1] if timeline.moments else None
    before = last.position if last else None
    position = change.position
    if before is not None and (position.epoch, position.revision) != (before.epoch, before.revision + 1):
        raise MalformedMessage(f"revision {position.revision} does not follow {before.revision}")
    moment = Moment(position, since, last.subject_fields if last else None)
    timeline.add(moment, tuple(each for each in change.entities if wanted(each.key)))


def _snapshot(lines: Iterator[Text], wanted: Callable[[EntityKey], bool]) -> dict[EntityKey, Entity]:
    found: dict[EntityKey, Entity] = {}
    for _, text in lines:
        item = wire.parse_snapshot_line(text.encode(), MAX_INTEGER)
        if isinstance(item, SnapshotEnd):
            return found
        if wanted(item.key):
            found[item.key] = item
    raise MalformedMessage("the snapshot does not end")
