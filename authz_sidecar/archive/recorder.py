"""Follows the User service's feed and archives it: every revision once, in order, or a jump that says so."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Final, Literal, Protocol

from authz_sidecar.archive.files import Writer
from authz_sidecar.core import wire
from authz_sidecar.core.documents import encode_state, parse_instant
from authz_sidecar.core.entities import Change, Entity, Position
from authz_sidecar.core.errors import HistoryGone, MalformedMessage
from authz_sidecar.core.ports import Clock
from authz_sidecar.source import ChangeStream, SnapshotStream

ROTATED_BYTES: Final = 256 * 1024 * 1024


class Source(Protocol):
    """What of the User service is asked."""

    clock_offset: float

    def changes(
        self,
        after: Position,
        limit: int | None = None,
        *,
        proof: Literal["required", "optional"] = "required",
    ) -> AbstractAsyncContextManager[ChangeStream]: ...

    def snapshot(self) -> AbstractAsyncContextManager[SnapshotStream]: ...


class Recorder:
    """Writes what the source tells. Raises what source and files raise; it can then be asked again."""

    def __init__(
        self, source: Source, writer: Writer, clock: Clock, rotated_bytes: int = ROTATED_BYTES
    ) -> None:
        """`rotated_bytes`: a file is ended when it has so many."""
        self._source = source
        self._writer = writer
        self._clock = clock
        self._rotated_bytes = rotated_bytes
        self._seen_at = 0.0
        """When the source was last asked: what it did not tell then had not been committed (Unix seconds)."""
        self.gaps: list[str] = []
        """What could not be archived, because the feed did not go on from where the archive stood."""

    async def catch_up(self) -> None:
        """Archive everything up to the head, and begin another file when it is time."""
        if self._writer.position is None:
            await self._snapshot()
        try:
            await self._follow()
        except HistoryGone:
            await self._snapshot()
        if self._writer.size >= self._rotated_bytes:
            await self._snapshot()

    async def _follow(self, until: int | None = None) -> None:
        """Archive what comes after, up to this revision or to the head."""
        position = self._writer.position
        while position is not None:
            asked_at = self._clock.wall()
            async with self._source.changes(position, proof="optional") as stream:
                async for line in stream.lines:
                    change = _next(wire.parse_change(line), position)
                    self._writer.write(self._dated(line, change))
                    position = change.position
            self._seen_at = asked_at
            self._writer.keep(position)
            if position.revision >= (stream.head if until is None else until):
                return

    def _dated(self, line: bytes, change: Change) -> bytes:
        """The message with the instant at which it came into force, by our clock."""
        now = self._clock.wall()
        committed = parse_instant(change.position.at or "") - self._source.clock_offset
        archived_at = min(max(committed, self._seen_at), now)
        return line.rstrip()[:-1] + f',"archived_at":{archived_at:.6f}}}'.encode()

    async def _snapshot(self) -> None:
        """Begin a file with a whole snapshot. What leads up to it is archived first, if that is possible."""
        asked_at = self._clock.wall()
        async with self._source.snapshot() as snapshot:
            before, now = self._writer.position, snapshot.position
            if before is not None and before != now:
                await self._lead_up_to(now, before)
            self._writer.begin()
            try:
                async for line in _entities(snapshot, asked_at):
                    self._writer.write(line)
            except BaseException:
                self._writer.discard()
                raise
        self._seen_at = asked_at
        self._writer.keep(now)

    async def _lead_up_to(self, now: Position, before: Position) -> None:
        """Archive the revisions up to the snapshot's; those that cannot be had are a gap."""
        try:
            if now.epoch == before.epoch and now.revision > before.revision:
                await self._follow(now.revision)
                return
        except HistoryGone:
            pass
        self.gaps.append(f"what came after {_told(before)} is lost; the archive goes on at {_told(now)}")


def _next(change: Change, position: Position) -> Change:
    """Raises MalformedMessage unless it is the one that follows."""
    found = change.position
    follows = found.epoch == position.epoch and found.revision == position.revision + 1
    if not follows or (None not in (change.previous_at, position.at) and change.previous_at != position.at):
        raise MalformedMessage(f"changes: {_told(found)} came after {_told(position)}")
    return change


async def _entities(snapshot: SnapshotStream, archived_at: float) -> AsyncIterator[bytes]:
    """The lines of a snapshot. How many entities come is known at the end, and is said there."""
    position = snapshot.position
    head = {
        "type": "snapshot",
        "v": 1,
        "epoch": position.epoch,
        "revision": position.revision,
        "at": position.at,
        "archived_at": archived_at,
        **({} if snapshot.subject_fields is None else {"subject_fields": list(snapshot.subject_fields)}),
    }
    yield json.dumps(head).encode()
    count = 0
    async for entity in snapshot.entities:
        yield _line(entity)
        count += 1
    yield json.dumps({"type": "end", "entities": count}).encode()


def _line(entity: Entity) -> bytes:
    kind, key = entity.key
    state = encode_state(entity.state)
    return (
        f'{{"kind":"{kind}","key":{json.dumps(key)},"revision":{entity.revision},"state":{state}}}'.encode()
    )


def _told(position: Position) -> str:
    return f"revision {position.revision} of {position.epoch[:8]}"
