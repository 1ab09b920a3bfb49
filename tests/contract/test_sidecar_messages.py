"""The golden messages as the sidecar reads them; the User service's own tests check that it sends them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from authz_sidecar.core import wire
from authz_sidecar.core.causes import History, RecordedChange
from authz_sidecar.core.digest import Digests
from authz_sidecar.core.documents import parse_instant
from authz_sidecar.core.entities import Change, Entity, EntityKey, GroupState, Heartbeat, Position, UserState
from authz_sidecar.core.wire import (
    Bucket,
    CheckAnswer,
    Digest,
    Head,
    SnapshotEnd,
    SnapshotHead,
    SubjectAnswer,
)

MESSAGES = Path(__file__).parent / "messages"
EPOCH = "3f2a9c1b-5d44-4b0e-9c07-6a1f7f0e8d21"
AT = "2026-11-22T09:00:00.123456Z"
HEARD_AT = parse_instant("2026-11-22T09:00:01.000000Z")
AUDITED_AT = parse_instant("2026-11-22T08:55:00.000000Z")
MARKED_AT = parse_instant("2026-11-22T09:00:00.120000Z")
user = Entity(
    EntityKey("user", "17"),
    42,
    UserState(True, False, frozenset({"students.change_student"}), frozenset({"3"}), 2),
)
group = Entity(EntityKey("group", "3"), 42, GroupState(frozenset({"students.add_student"})))
change = Change(Position(EPOCH, 42, AT), MARKED_AT, (user, group), previous_at="2026-11-22T08:00:00.000000Z")


def read_changes(body: bytes) -> list[Change]:
    return [wire.parse_change(line) for line in body.splitlines()]


def read_snapshot(body: bytes) -> list[object]:
    head, *lines = body.splitlines()
    return [wire.parse_snapshot_head(head), *(wire.parse_snapshot_line(line, 42) for line in lines)]


def read_digest(body: bytes) -> Digest:
    digest = wire.parse_digest(body)
    for bucket in digest.buckets:
        assert len(bytes.fromhex(bucket.digest)) == 32
    return Digest(digest.epoch, digest.revision, tuple(Bucket("", b.revision) for b in digest.buckets))


READERS: dict[str, tuple[Callable[[bytes], object], object]] = {
    "change.json": (wire.parse_message, change),
    "changes.ndjson": (read_changes, [change]),
    "check.json": (wire.parse_check, CheckAnswer(True, "granted", EPOCH, 42)),
    "deletion.json": (
        wire.parse_message,
        Change(
            Position(EPOCH, 43, AT), MARKED_AT, (Entity(EntityKey("user", "17"), 43, None),), previous_at=AT
        ),
    ),
    "digest.json": (read_digest, Digest(EPOCH, 42, (Bucket("", 42), Bucket("", 42)))),
    "history.json": (
        lambda body: wire.parse_history(body, "17"),
        History(
            (
                RecordedChange(
                    EntityKey("user", "17"),
                    "permission",
                    "students.change_student",
                    added=False,
                    revision=43,
                    at="2026-11-22T09:00:00.120000Z",
                    by="admin over the API",
                    text="- students.change_student for ann by admin over the API"
                    " at 2026-11-22 09:00 UTC, revision 43",
                ),
            ),
            whole=True,
        ),
    ),
    "head.json": (wire.parse_head, Head(EPOCH, 42, HEARD_AT, AUDITED_AT, 600, ("pk",))),
    "heartbeat.json": (wire.parse_message, Heartbeat(Position(EPOCH, 42, AT), HEARD_AT, AUDITED_AT)),
    "snapshot.ndjson": (
        read_snapshot,
        [
            SnapshotHead(Position(EPOCH, 42, AT), 2, HEARD_AT, AUDITED_AT, ("pk",)),
            user,
            group,
            SnapshotEnd(2),
        ],
    ),
    "subject.json": (
        lambda body: wire.parse_subject(body, "17"),
        SubjectAnswer(Position(EPOCH, 42, AT), (user, group)),
    ),
    "unknown-subject.json": (
        lambda body: wire.parse_no_subject(body, "18"),
        SubjectAnswer(Position(EPOCH, 42, AT), (Entity(EntityKey("user", "18"), 42, None),)),
    ),
}
BODY_IS_NOT_READ = {"gone.json"}
"""Answers of which the sidecar looks at the status only."""


@pytest.mark.parametrize("name", READERS)
def test_golden_message_is_understood(name: str) -> None:
    read, expected = READERS[name]
    assert read((MESSAGES / name).read_bytes()) == expected


def test_both_sides_compute_the_same_digests() -> None:
    golden = wire.parse_digest((MESSAGES / "digest.json").read_bytes())
    ours = Digests(len(golden.buckets))
    ours.add([group, user])
    assert [ours[bucket] for bucket in range(len(golden.buckets))] == [b.digest for b in golden.buckets]
    assert ours.revisions == [bucket.revision for bucket in golden.buckets]


def test_no_golden_message_is_overlooked() -> None:
    assert {path.name for path in MESSAGES.iterdir()} == READERS.keys() | BODY_IS_NOT_READ
