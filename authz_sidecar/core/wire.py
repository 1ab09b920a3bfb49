"""The wire contract: which messages and answers the User service sends, as values of ours.

Unknown fields are ignored. Everything else that differs from the contract is a `MalformedMessage`
that names the field (`core.documents`).
"""

from __future__ import annotations

from dataclasses import dataclass

from authz_sidecar.core.causes import History, RecordedChange
from authz_sidecar.core.documents import Document, parse_json, shown
from authz_sidecar.core.entities import Change, Entity, EntityKey, Heartbeat, Position, UserState
from authz_sidecar.core.errors import MalformedMessage
from authz_sidecar.core.naming import SEPARATOR, Fields


@dataclass(frozen=True, slots=True)
class Head:
    """The newest revision of the User service. `now`: its clock, in Unix seconds.

    `audited_at`, by the same clock: since when every part of its log was compared with its tables. It means
    to do that every `audit_seconds`. Either is `None` where it is not said.
    """

    epoch: str
    revision: int
    now: float
    audited_at: float | None = None
    audit_seconds: int | None = None
    subject_fields: Fields = None
    """By which the log names users in this epoch; `None` where it is not said."""


@dataclass(frozen=True, slots=True)
class SnapshotHead:
    """The first line of a snapshot: where it stands and how many entities follow.

    `now`, `audited_at` and `subject_fields` as in `Head`; older services say none.
    """

    position: Position
    entities: int
    now: float | None = None
    audited_at: float | None = None
    subject_fields: Fields = None


@dataclass(frozen=True, slots=True)
class SnapshotEnd:
    """The last line of a snapshot; without it the snapshot is truncated."""

    entities: int


@dataclass(frozen=True, slots=True)
class SubjectAnswer:
    """One user with its groups, as of `position`.

    What does not exist is there too, with the revision of the whole for its own: since when is not known.
    """

    position: Position
    entities: tuple[Entity, ...]


@dataclass(frozen=True, slots=True)
class CheckAnswer:
    """The User service's own decision, and the revision it was made at."""

    allowed: bool
    reason: str
    epoch: str
    revision: int


@dataclass(frozen=True, slots=True)
class Bucket:
    """What is compared of a part of all entities. `digest` is empty of meaning but for equality."""

    digest: str
    revision: int


@dataclass(frozen=True, slots=True)
class Digest:
    """The buckets of the whole state as of `revision`."""

    epoch: str
    revision: int
    buckets: tuple[Bucket, ...]


def parse_message(body: bytes) -> Change | Heartbeat:
    """A message of the exchange or a line of the change feed."""
    document = Document.versioned(body)
    kind = document.value("type")
    if kind == "change":
        return _change(document)
    if kind == "heartbeat":
        audited_at = document.optional_instant("audited_at")
        return Heartbeat(document.position("revision_at"), document.instant("at"), audited_at)
    raise MalformedMessage(f"type: expected change or heartbeat, got {shown(kind)}")


def parse_change(line: bytes) -> Change:
    """A line of the change feed."""
    message = parse_message(line)
    if not isinstance(message, Change):
        raise MalformedMessage("type: expected change, got heartbeat")
    return message


def parse_head(body: bytes) -> Head:
    document = Document.parse(body, "head")
    return Head(
        document.epoch(),
        document.integer("revision"),
        document.instant("now"),
        document.optional_instant("audited_at"),
        None if document.value("audit_seconds") is None else document.integer("audit_seconds"),
        subject_fields(document),
    )


def subject_fields(document: Document) -> Fields:
    """The fields by which a log names users, where it says so."""
    if document.value("subject_fields") is None:
        return None
    fields = document.texts("subject_fields")
    if not fields or len(set(fields)) < len(fields) or any(SEPARATOR in field for field in fields):
        raise MalformedMessage(f"subject_fields: expected names, got {shown(fields)}")
    return fields


def parse_subject_fields(header: str | None) -> Fields:
    """The same in a header field."""
    if header is None:
        return None
    return subject_fields(Document({"subject_fields": parse_json(header) or []}, "Authz-Subject-Fields"))


def parse_snapshot_head(line: bytes) -> SnapshotHead:
    document = Document.versioned(line)
    if document.value("type") != "snapshot":
        raise MalformedMessage(f"type: expected snapshot, got {shown(document.value('type'))}")
    return SnapshotHead(
        document.position(),
        document.integer("entities"),
        document.optional_instant("now"),
        document.optional_instant("audited_at"),
        subject_fields(document),
    )


def parse_snapshot_line(line: bytes, newest: int) -> Entity | SnapshotEnd:
    """An entity of a snapshot at revision `newest`, or its end."""
    document = Document.parse(line, "line")
    if document.value("type") == "end":
        return SnapshotEnd(document.integer("entities"))
    return _entity_line(document, newest)


def parse_subject(body: bytes, sub: str) -> SubjectAnswer:
    """The answer about the user `sub`, who exists."""
    document = _about(body, sub)
    position = document.position()
    lines = document.documents("entities")
    found = {entity.key: entity for entity in (_entity_line(line, position.revision) for line in lines)}
    user = found.get(EntityKey("user", sub))
    if user is None or not isinstance(user.state, UserState):
        raise MalformedMessage("entities: the user itself is missing")
    for group in user.state.groups:
        key = EntityKey("group", group)
        found.setdefault(key, Entity(key, position.revision, None))
    return SubjectAnswer(position, tuple(found.values()))


def parse_no_subject(body: bytes, sub: str) -> SubjectAnswer:
    """The answer that there is no user `sub`."""
    position = _about(body, sub).position()
    return SubjectAnswer(position, (Entity(EntityKey("user", sub), position.revision, None),))


def parse_check(body: bytes) -> CheckAnswer:
    document = Document.parse(body, "check")
    allowed, reason = document.boolean("allowed"), document.text("reason")
    return CheckAnswer(allowed, reason, document.epoch(), document.integer("revision"))


def parse_digest(body: bytes) -> Digest:
    document = Document.parse(body, "digest")
    buckets = [
        Bucket(bucket.text("digest"), bucket.integer("revision")) for bucket in document.documents("buckets")
    ]
    return Digest(document.epoch(), document.integer("revision"), tuple(buckets))


def parse_labels(body: bytes) -> frozenset[str]:
    """The permission labels that exist."""
    return Document.parse(body, "answer").labels("permissions")


def parse_history(body: bytes, sub: str) -> History:
    """What changed for the user `sub`, the newest first."""
    document = _about(body, sub)
    changes = tuple(map(_recorded, document.documents("changes")))
    return History(changes, document.boolean("whole"))


def _recorded(document: Document) -> RecordedChange:
    kind, key = document.value("kind"), document.value("key")
    if kind not in ("user", "group"):
        raise MalformedMessage(f"kind: expected user or group, got {shown(kind)}")
    item = document.value("item")
    document.instant("at")
    return RecordedChange(
        entity=None if key is None else EntityKey(kind, document.text("key")),
        what=document.text("what"),
        item="" if item in (None, "") else document.text("item"),
        added=document.boolean("added"),
        revision=document.integer("revision"),
        at=document.text("at"),
        by=document.line("by"),
        text=document.line("text"),
    )


def _about(body: bytes, sub: str) -> Document:
    document = Document.parse(body, "subject")
    if document.value("sub") != sub:
        raise MalformedMessage(f"sub: asked for {shown(sub)}, got {shown(document.value('sub'))}")
    return document


def _change(document: Document) -> Change:
    position = document.position()
    entities = [each.entity(position.revision) for each in document.documents("entities")]
    if position.revision == 0 or not entities:
        raise MalformedMessage("change: needs a revision of at least 1 and at least one entity")
    if position.at is None:
        raise MalformedMessage("at: expected an instant, got None")
    if len({entity.key for entity in entities}) != len(entities):
        raise MalformedMessage("entities: one entity has two states")
    marked_at, previous_at = (
        document.optional_instant("marked_at"),
        document.optional_instant_text("previous_at"),
    )
    return Change(position, marked_at, tuple(entities), previous_at)


def _entity_line(document: Document, newest: int) -> Entity:
    revision = document.integer("revision")
    if revision > newest:
        raise MalformedMessage(f"revision: {revision} is newer than the {newest} of the whole")
    return document.entity(revision)
