"""JSON documents of the wire contract, read field by field, and states written in their canonical form.

Every reader checks one thing and raises `MalformedMessage`, which names the field; nothing is coerced and
nothing is guessed. Which fields a message has is in `core.wire`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from authz_sidecar.core.entities import (
    Entity,
    EntityKey,
    EntityState,
    GroupState,
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


class Document:
    """One JSON object. Fields that nobody asks for are ignored."""

    __slots__ = ("_fields",)

    def __init__(self, value: object, name: str) -> None:
        """`name` stands for the whole in errors."""
        if not isinstance(value, dict):
            raise MalformedMessage(f"{name}: expected an object, got {shown(value)}")
        self._fields: Mapping[str, Any] = value

    @classmethod
    def parse(cls, body: str | bytes, name: str) -> Document:
        return cls(parse_json(body), name)

    @classmethod
    def versioned(cls, body: bytes) -> Document:
        """A message, which says of which version of the contract it is."""
        document = cls.parse(body, "message")
        version = document.value("v")
        if type(version) is not int or version != VERSION:
            raise MalformedMessage(f"v: expected {VERSION}, got {shown(version)}")
        return document

    def value(self, field: str) -> Any:
        """Whatever the field holds; `None` too when there is no such field."""
        return self._fields.get(field)

    def integer(self, field: str) -> int:
        value = self._fields.get(field)
        if type(value) is not int or not 0 <= value <= MAX_INTEGER:
            raise MalformedMessage(
                f"{field}: expected an integer from 0 to {MAX_INTEGER}, got {shown(value)}"
            )
        return value

    def optional_integer(self, field: str) -> int | None:
        return None if self._fields.get(field) is None else self.integer(field)

    def boolean(self, field: str) -> bool:
        value = self._fields.get(field)
        if not isinstance(value, bool):
            raise MalformedMessage(f"{field}: expected true or false, got {shown(value)}")
        return value

    def text(self, field: str) -> str:
        return _text(self._fields.get(field), field)

    def line(self, field: str) -> str:
        """Words for people, of any length; what is no visible character is a question mark."""
        value = self._fields.get(field)
        if not isinstance(value, str):
            raise MalformedMessage(f"{field}: expected text, got {shown(value)}")
        return "".join(each if each.isprintable() else "?" for each in value)

    def texts(self, field: str) -> tuple[str, ...]:
        return tuple([_text(text, field) for text in self._list(field)])

    def labels(self, field: str) -> frozenset[str]:
        return frozenset(self.texts(field))

    def documents(self, field: str) -> list[Document]:
        return [Document(value, field) for value in self._list(field)]

    def epoch(self) -> str:
        value = self._fields.get("epoch")
        if not isinstance(value, str) or not _EPOCH.fullmatch(value):
            raise MalformedMessage(f"epoch: expected a UUID, got {shown(value)}")
        return value

    def instant(self, field: str) -> float:
        """In Unix seconds."""
        return _instant(self.text(field), field)

    def optional_instant(self, field: str) -> float | None:
        """In Unix seconds."""
        return None if self._fields.get(field) is None else self.instant(field)

    def optional_instant_text(self, field: str) -> str | None:
        """As it was sent: positions are compared by it."""
        if self._fields.get(field) is None:
            return None
        text = self.text(field)
        _instant(text, field)
        return text

    def position(self, at: str = "at") -> Position:
        """`at`: the field that says when the revision was made."""
        return Position(self.epoch(), self.integer("revision"), self.optional_instant_text(at))

    def entity(self, revision: int) -> Entity:
        """One user or one group, with the revision that last changed it."""
        kind = self._fields.get("kind")
        if kind not in ("user", "group"):
            raise MalformedMessage(f"kind: expected user or group, got {shown(kind)}")
        if "state" not in self._fields:
            raise MalformedMessage("state: missing")
        return Entity(EntityKey(kind, self.text("key")), revision, _state(kind, self._fields["state"]))

    def _list(self, field: str) -> list[Any]:
        value = self._fields.get(field)
        if not isinstance(value, list):
            raise MalformedMessage(f"{field}: expected a list, got {shown(value)}")
        return value


def parse_integer(text: str | None, field: str) -> int:
    """A non-negative number in a header field."""
    if text is None or not re.fullmatch(r"[0-9]{1,16}", text) or int(text) > MAX_INTEGER:
        raise MalformedMessage(f"{field}: expected a number, got {shown(text)}")
    return int(text)


def parse_instant(text: str) -> float:
    """RFC 3339 with an offset, in Unix seconds."""
    return _instant(text, "instant")


def encode_state(state: EntityState) -> str:
    """The canonical form of a state: equal states are equal texts, here and in digests."""
    return json.dumps(fields_of(state), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def decode_state(kind: Kind, text: str | bytes) -> EntityState:
    """What `encode_state` made."""
    return _state(kind, parse_json(text))


def shown(value: Any) -> str:
    """Enough of a bad value to find it; messages hold no secrets."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}…"


def fields_of(state: EntityState) -> dict[str, Any] | None:
    """A state as the contract has it: plain values for JSON."""
    if state is None:
        return None
    if isinstance(state, GroupState):
        return {"permissions": sorted(state.permissions)}
    ended = state.tokens_not_before
    return {
        **({} if ended is None else {"tokens_not_before": ended}),
        "active": state.active,
        "superuser": state.superuser,
        "permissions": sorted(state.permissions),
        "groups": sorted(state.groups),
        "token_generation": state.token_generation,
    }


def _state(kind: Kind, value: object) -> EntityState:
    if value is None:
        return None
    document = Document(value, "state")
    if kind == "group":
        return GroupState(document.labels("permissions"))
    return UserState(
        active=document.boolean("active"),
        superuser=document.boolean("superuser"),
        permissions=document.labels("permissions"),
        groups=document.labels("groups"),
        token_generation=document.integer("token_generation"),
        tokens_not_before=document.optional_integer("tokens_not_before"),
    )


def parse_json(text: str | bytes) -> Any:
    """Raises MalformedMessage."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise MalformedMessage("message: not JSON") from None


def _text(value: Any, field: str) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT:
        raise MalformedMessage(f"{field}: expected 1 to {MAX_TEXT} characters, got {shown(value)}")
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


def _instant(text: str, field: str) -> float:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise MalformedMessage(f"{field}: {shown(text)} is not RFC 3339") from None
    if instant.tzinfo is None:
        raise MalformedMessage(f"{field}: {shown(text)} has no offset")
    return instant.timestamp()
