"""The archive goes on after any end, is written by one, and says what it could not have."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from authz_sidecar.archive.files import ArchiveBroken, ArchiveInUse, Writer, paths, texts
from authz_sidecar.archive.recorder import Recorder
from authz_sidecar.core.entities import Entity, EntityKey, EntityState, GroupState, Position
from authz_sidecar.core.errors import HistoryGone, MalformedMessage, Unavailable
from authz_sidecar.source import ChangeStream, SnapshotStream
from authz_sidecar.verify.archive import replay

EPOCH = "3f2a9c1b-0000-4000-8000-000000000000"
OTHER = "aaaaaaaa-0000-4000-8000-000000000000"


def at(revision: int) -> str:
    return f"2026-11-22T09:00:{revision:02}.000000Z"


@dataclass
class Service:
    """Implements `recorder.Source` and the clock: a history of one group, of which the log keeps the end."""

    epoch: str = EPOCH
    labels: list[str] = field(default_factory=list)
    """What each revision, from 1 on, made of the group."""
    oldest: int = 1
    clock_offset: float = 0.0
    limit: int = 2
    now: float = 1_795_338_100.0
    cut: bool = False

    def position(self, revision: int) -> Position:
        return Position(self.epoch, revision, at(revision))

    @property
    def head(self) -> int:
        return len(self.labels)

    def line(self, revision: int) -> bytes:
        entity = {"kind": "group", "key": "3", "state": {"permissions": [self.labels[revision - 1]]}}
        message = {"v": 1, "type": "change", "epoch": self.epoch, "revision": revision, "at": at(revision)}
        return json.dumps({**message, "previous_at": at(revision - 1), "entities": [entity]}).encode()

    @asynccontextmanager
    async def changes(
        self, after: Position, limit: int | None = None, *, proof: str = "required"
    ) -> AsyncIterator[ChangeStream]:
        known = after.epoch == self.epoch and self.oldest - 1 <= after.revision <= self.head
        if not known:
            raise HistoryGone("the log does not go on from here")

        async def lines() -> AsyncIterator[bytes]:
            for revision in range(after.revision + 1, min(after.revision + self.limit, self.head) + 1):
                yield self.line(revision)
            if self.cut:
                raise Unavailable("cut off")

        yield ChangeStream(self.head, self.now, None, 0.0, proved="all", lines=lines())

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[SnapshotStream]:
        async def entities() -> AsyncIterator[Entity]:
            if self.head:
                state: EntityState = GroupState(frozenset({self.labels[-1]}))
                yield Entity(EntityKey("group", "3"), self.head, state)
            if self.cut:
                raise MalformedMessage("snapshot: cut off after 1 of 2 entities")

        yield SnapshotStream(self.position(self.head), 0.0, 0.0, entities(), ("pk", "email"))

    def wall(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


def recorded(folder: Path) -> list[tuple[int, str]]:
    """What an archive says: the revisions, and what the group then held."""
    found = []
    for moment in replay(texts(folder)):
        assert not moment.flaw or moment.jumped
        assert moment.subject_fields == ("pk", "email")
        held = moment.entities.get(("group", "3"), {"permissions": ["nothing"]})["permissions"]
        found.append((moment.node.revision, held[0]))
    return found


async def catch_up(service: Service, folder: Path, rotated_bytes: int = 10**9) -> Recorder:
    writer = Writer(folder)
    recorder = Recorder(service, writer, service, rotated_bytes)
    try:
        await recorder.catch_up()
    finally:
        writer.close()
    return recorder


async def test_everything_from_the_first_snapshot_on(tmp_path: Path) -> None:
    service = Service(labels=["s.a"])
    await catch_up(service, tmp_path / "archive")
    service.labels += ["s.b", "s.c", "s.d", "s.e"]
    recorder = await catch_up(service, tmp_path / "archive")
    assert recorded(tmp_path / "archive") == [(1, "s.a"), (2, "s.b"), (3, "s.c"), (4, "s.d"), (5, "s.e")]
    assert recorder.gaps == []


async def test_files_rotate_and_each_begins_with_a_snapshot(tmp_path: Path) -> None:
    service = Service()
    for label in ("s.a", "s.b", "s.c"):
        service.labels.append(label)
        await catch_up(service, tmp_path, rotated_bytes=1)
    files = paths(tmp_path)
    assert [file.name for file in files] == [
        "00000001.jsonl",
        "00000002.jsonl",
        "00000003.jsonl",
        "00000004.jsonl",
    ]
    assert all('"snapshot"' in file.read_text().splitlines()[0] for file in files)
    assert [*dict(recorded(tmp_path))] == [1, 2, 3]
    for file in files[:2]:  # what is old may go
        file.unlink()
    assert recorded(tmp_path)[-1] == (3, "s.c")


@pytest.mark.parametrize("lost", [{"oldest": 4}, {"epoch": OTHER}])
async def test_what_the_log_has_no_more_is_a_gap_that_is_told(
    tmp_path: Path, lost: dict[str, object]
) -> None:
    service = Service(labels=["s.a", "s.b"])
    await catch_up(service, tmp_path)
    service.labels += ["s.c", "s.d"]
    for name, value in lost.items():
        setattr(service, name, value)
    recorder = await catch_up(service, tmp_path)
    (gap,) = recorder.gaps
    assert "after revision 2 of 3f2a9c1b is lost" in gap
    assert f"goes on at revision 4 of {service.epoch[:8]}" in gap
    moments = [(moment.node.revision, moment.jumped) for moment in replay(texts(tmp_path))]
    assert moments == [(2, False), (4, True)]


async def test_an_outage_leaves_what_was_there(tmp_path: Path) -> None:
    service = Service(labels=["s.a"], cut=True)
    with pytest.raises(MalformedMessage):
        await catch_up(service, tmp_path)
    assert paths(tmp_path) == []
    service.cut = False
    await catch_up(service, tmp_path)
    service.labels.append("s.b")
    service.cut = True
    with pytest.raises(Unavailable):
        await catch_up(service, tmp_path)
    service.cut = False
    await catch_up(service, tmp_path)
    assert recorded(tmp_path) == [(1, "s.a"), (2, "s.b")]


async def test_it_goes_on_wherever_it_was_cut_off(tmp_path: Path) -> None:
    service = Service(labels=["s.a"])
    await catch_up(service, tmp_path / "whole")
    service.labels += ["s.b", "s.c"]
    await catch_up(service, tmp_path / "whole")
    (file,) = paths(tmp_path / "whole")
    content = file.read_bytes()
    for length in range(0, len(content), 7):
        folder = tmp_path / str(length)
        folder.mkdir()
        (folder / file.name).write_bytes(content[:length])
        recorder = await catch_up(service, folder)
        assert recorded(folder)[-1] == (3, "s.c")
        assert recorder.gaps == []


async def test_when_a_revision_came_into_force_by_our_clock(tmp_path: Path) -> None:
    committed = 1_795_338_002.0  # what `at(2)` says
    service = Service(labels=["s.a"], clock_offset=3.0)
    await catch_up(service, tmp_path)
    service.labels.append("s.b")
    await catch_up(service, tmp_path)
    assert [moment.since for moment in replay(texts(tmp_path))] == [service.now, committed - 3.0]


def test_one_process_writes_an_archive(tmp_path: Path) -> None:
    first = Writer(tmp_path)
    with pytest.raises(ArchiveInUse, match="another process is writing this archive"):
        Writer(tmp_path)
    first.close()
    Writer(tmp_path).close()


def test_files_that_are_no_archive_are_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "00000001.jsonl"
    file.write_text("precious\n")
    with pytest.raises(ArchiveBroken, match=r"00000001.jsonl:1: message: not JSON"):
        Writer(tmp_path)
    assert file.read_text() == "precious\n"


async def test_a_service_that_skips_a_revision_is_not_believed(tmp_path: Path) -> None:
    service = Service(labels=["s.a"])
    await catch_up(service, tmp_path)
    service.labels += ["s.b", "s.c"]
    line = service.line
    service.line = lambda revision: line(3)  # type: ignore[method-assign]
    with pytest.raises(MalformedMessage, match="revision 3 of 3f2a9c1b came after revision 1 of 3f2a9c1b"):
        await catch_up(service, tmp_path)
