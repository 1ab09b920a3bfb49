"""The wire contract: bytes from the User service, checked field by field, become values of ours.

Unknown fields are ignored. Everything else that differs from the contract is a `MalformedMessage`
that names the field; nothing is coerced and nothing is guessed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from authz_sidecar.core.entities import (
    Change,
    Entity,
    EntityKey,
    EntityState,
    GroupState,
    Heartbeat,
    Kind,
    Position,
    UserState,
)
from authz_sidecar.core.errors import MalformedMessage

VERSION = 1
MAX_TEXT = 255
"""Longest key, label or instant, in characters. Django's own labels are at most 201."""
MAX_INTEGER = 2**53 - 1
"""Largest integer that every JSON reader and Redis' Lua hold exactly."""

_EPOCH = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Head:
    """The newest revision of the User service. `now`: its clock, in Unix seconds."""

    epoch: str
    revision: int
    now: float


@dataclass(frozen=True, slots=True)
class SnapshotHead:
    """The first line of a snapshot: where it stands and how many entities follow."""

    position: Position
    entities: int


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
    document = _versioned(body)
    kind = document.get("type")
    if kind == "change":
        return _change(document)
    if kind == "heartbeat":
        at, revision_at = _instant_text(document, "at"), _optional_instant(document, "revision_at")
        return Heartbeat(_epoch(document), _integer(document, "revision"), at, revision_at)
    raise MalformedMessage(f"type: expected change or heartbeat, got {_shown(kind)}")


def parse_change(line: bytes) -> Change:
    """A line of the change feed."""
    message = parse_message(line)
    if not isinstance(message, Change):
        raise MalformedMessage("type: expected change, got heartbeat")
    return message


def parse_head(body: bytes) -> Head:
    document = _object(_json(body), "head")
    return Head(
        _epoch(document), _integer(document, "revision"), parse_instant(_instant_text(document, "now"))
    )


def parse_snapshot_head(line: bytes) -> SnapshotHead:
    document = _versioned(line)
    if document.get("type") != "snapshot":
        raise MalformedMessage(f"type: expected snapshot, got {_shown(document.get('type'))}")
    return SnapshotHead(_position(document), _integer(document, "entities"))


def parse_snapshot_line(line: bytes, newest: int) -> Entity | SnapshotEnd:
    """An entity of a snapshot at revision `newest`, or its end."""
    document = _object(_json(line), "line")
    if document.get("type") == "end":
        return SnapshotEnd(_integer(document, "entities"))
    return _entity_line(document, newest)


def parse_subject(body: bytes, sub: str) -> SubjectAnswer:
    """The answer about the user `sub`, who exists."""
    document = _about(body, sub)
    position = _position(document)
    lines = (_object(line, "entities") for line in _list(document, "entities"))
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
    document = _about(body, sub)
    position = _position(document)
    return SubjectAnswer(position, (Entity(EntityKey("user", sub), position.revision, None),))


def parse_check(body: bytes) -> CheckAnswer:
    document = _object(_json(body), "check")
    allowed, reason = _boolean(document, "allowed"), _text(document.get("reason"), "reason")
    return CheckAnswer(allowed, reason, _epoch(document), _integer(document, "revision"))


def parse_digest(body: bytes) -> Digest:
    document = _object(_json(body), "digest")
    buckets = tuple(
        Bucket(_text(bucket.get("digest"), "digest"), _integer(bucket, "revision"))
        for bucket in (_object(item, "buckets") for item in _list(document, "buckets"))
    )
    return Digest(_epoch(document), _integer(document, "revision"), buckets)


def parse_labels(body: bytes) -> frozenset[str]:
    """The permission labels that exist."""
    return _labels(_object(_json(body), "answer"), "permissions")


def parse_integer(text: str | None, field: str) -> int:
    """A non-negative number in a header field."""
    if text is None or not re.fullmatch(r"[0-9]{1,16}", text) or int(text) > MAX_INTEGER:
        raise MalformedMessage(f"{field}: expected a number, got {_shown(text)}")
    return int(text)


def parse_instant(text: str) -> float:
    """RFC 3339 with an offset, in Unix seconds."""
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise MalformedMessage(f"instant: {_shown(text)} is not RFC 3339") from None
    if instant.tzinfo is None:
        raise MalformedMessage(f"instant: {_shown(text)} has no offset")
    return instant.timestamp()


def encode_state(state: EntityState) -> str:
    """The canonical form of a state: equal states are equal texts, here and in digests."""
    return json.dumps(_document(state), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def decode_state(kind: Kind, text: str | bytes) -> EntityState:
    """What `encode_state` made."""
    return _state(kind, _json(text))


def _document(state: EntityState) -> dict[str, Any] | None:
    if state is None:
        return None
    if isinstance(state, GroupState):
        return {"permissions": sorted(state.permissions)}
    return {
        "active": state.active,
        "superuser": state.superuser,
        "permissions": sorted(state.permissions),
        "groups": sorted(state.groups),
        "token_generation": state.token_generation,
    }


def _about(body: bytes, sub: str) -> Document:
    document = _object(_json(body), "subject")
    if document.get("sub") != sub:
        raise MalformedMessage(f"sub: asked for {_shown(sub)}, got {_shown(document.get('sub'))}")
    return document


def _change(document: Document) -> Change:
    revision = _integer(document, "revision")
    entities = tuple(_entity(_object(item, "entities"), revision) for item in _list(document, "entities"))
    if revision == 0 or not entities:
        raise MalformedMessage("change: needs a revision of at least 1 and at least one entity")
    if len({entity.key for entity in entities}) != len(entities):
        raise MalformedMessage("entities: one entity has two states")
    marked_at, previous_at = (_optional_instant(document, field) for field in ("marked_at", "previous_at"))
    return Change(_epoch(document), revision, _instant_text(document, "at"), marked_at, entities, previous_at)


def _position(document: Document) -> Position:
    return Position(_epoch(document), _integer(document, "revision"), _optional_instant(document, "at"))


def _entity_line(document: Document, newest: int) -> Entity:
    revision = _integer(document, "revision")
    if revision > newest:
        raise MalformedMessage(f"revision: {revision} is newer than the {newest} of the whole")
    return _entity(document, revision)


def _entity(document: Document, revision: int) -> Entity:
    kind = document.get("kind")
    if kind not in ("user", "group"):
        raise MalformedMessage(f"kind: expected user or group, got {_shown(kind)}")
    if "state" not in document:
        raise MalformedMessage("state: missing")
    key = EntityKey(kind, _text(document.get("key"), "key"))
    return Entity(key, revision, _state(kind, document["state"]))


def _state(kind: Kind, value: Any) -> EntityState:
    if value is None:
        return None
    document = _object(value, "state")
    if kind == "group":
        return GroupState(_labels(document, "permissions"))
    return UserState(
        active=_boolean(document, "active"),
        superuser=_boolean(document, "superuser"),
        permissions=_labels(document, "permissions"),
        groups=_labels(document, "groups"),
        token_generation=_integer(document, "token_generation"),
    )


def _versioned(body: bytes) -> Document:
    document = _object(_json(body), "message")
    version = document.get("v")
    if type(version) is not int or version != VERSION:
        raise MalformedMessage(f"v: expected {VERSION}, got {_shown(version)}")
    return document


def _json(text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise MalformedMessage("message: not JSON") from None


def _object(value: Any, field: str) -> Document:
    if not isinstance(value, dict):
        raise MalformedMessage(f"{field}: expected an object, got {_shown(value)}")
    return value


def _list(document: Document, field: str) -> list[Any]:
    value = document.get(field)
    if not isinstance(value, list):
        raise MalformedMessage(f"{field}: expected a list, got {_shown(value)}")
    return value


def _labels(document: Document, field: str) -> frozenset[str]:
    return frozenset(_text(label, field) for label in _list(document, field))


def _text(value: Any, field: str) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT:
        raise MalformedMessage(f"{field}: expected 1 to {MAX_TEXT} characters, got {_shown(value)}")
    if not value.isascii() and not _encodable(value):
        raise MalformedMessage(f"{field}: holds a lone surrogate")
    return value


def _encodable(text: str) -> bool:
    """A lone surrogate passes as JSON but is no Unicode text."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _integer(document: Document, field: str) -> int:
    value = document.get(field)
    if type(value) is not int or not 0 <= value <= MAX_INTEGER:
        raise MalformedMessage(f"{field}: expected an integer from 0 to {MAX_INTEGER}, got {_shown(value)}")
    return value


def _boolean(document: Document, field: str) -> bool:
    value = document.get(field)
    if not isinstance(value, bool):
        raise MalformedMessage(f"{field}: expected true or false, got {_shown(value)}")
    return value


def _epoch(document: Document) -> str:
    value = document.get("epoch")
    if not isinstance(value, str) or not _EPOCH.fullmatch(value):
        raise MalformedMessage(f"epoch: expected a UUID, got {_shown(value)}")
    return value


def _instant_text(document: Document, field: str) -> str:
    value = _text(document.get(field), field)
    try:
        parse_instant(value)
    except MalformedMessage as error:
        raise MalformedMessage(f"{field}: {error}") from None
    return value


def _optional_instant(document: Document, field: str) -> str | None:
    return None if document.get(field) is None else _instant_text(document, field)


def _shown(value: Any) -> str:
    """Enough of a bad value to find it; messages hold no secrets."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}…"
