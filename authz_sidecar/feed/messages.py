"""What follower and workers tell each other, a line of JSON each. Changes are as in the change feed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Any, Final

from authz_sidecar.authn.keys import Published
from authz_sidecar.core.documents import VERSION, Document, fields_of
from authz_sidecar.core.entities import Change, Entity, EntityKey, Position
from authz_sidecar.core.errors import MalformedMessage
from authz_sidecar.core.naming import Fields

MAX_LINE: Final = 256 * 1024 * 1024
"""More than the largest change that can be read."""

Message = Mapping[str, Any]


class Lines:
    """Makes messages of bytes as they arrive."""

    def __init__(self) -> None:
        self._begun: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> list[Message]:
        """Those that are whole now. Raises MalformedMessage."""
        *ended, rest = data.split(b"\n")
        found = []
        for end in ended:
            found.append(_message(b"".join([*self._begun, end])))
            self._begun, self._size = [], 0
        self._begun.append(rest)
        self._size += len(rest)
        if self._size > MAX_LINE:
            raise MalformedMessage(f"line: longer than {MAX_LINE} bytes")
        return found


def _message(line: bytes) -> Message:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        raise MalformedMessage("line: not JSON") from None
    if not isinstance(found, dict) or not isinstance(found.get("type"), str):
        raise MalformedMessage("type: expected text")
    return found


def encode(message: Message) -> bytes:
    return json.dumps(message, separators=(",", ":"), allow_nan=False).encode() + b"\n"


# Where one stands


def hello(
    worker: int, pid: int, stands: tuple[Position | None, Fields], contents: Mapping[str, str | None]
) -> Message:
    """The first of a worker: where it stands, by which fields users are named there, and `contents`: the
    digests of the files that it was configured by."""
    position, fields = stands
    at = {"position": None if position is None else _position(position), "subject_fields": _list(fields)}
    return {"type": "hello", "worker": worker, "pid": pid, **at, "contents": dict(contents)}


def parse_position(value: object) -> Position | None:
    return None if value is None else Document(value, "position").position()


def stand(position: Position, subject_fields: Fields) -> Message:
    return {"type": "stand", "position": _position(position), "subject_fields": _list(subject_fields)}


def parse_fields(message: Message) -> Fields:
    """By which users are named where one stands; there may be none."""
    return None if message["subject_fields"] is None else Document(message, "stand").texts("subject_fields")


def _list(fields: Fields) -> list[str] | None:
    return None if fields is None else list(fields)


def change(made: Change) -> Message:
    entities = [{**_key(each.key), "state": fields_of(each.state)} for each in made.entities]
    previous = {} if made.previous_at is None else {"previous_at": made.previous_at}
    return {"v": VERSION, "type": "change", **_position(made.position), **previous, "entities": entities}


def parse_change(message: Message) -> Change:
    """Without its mark: it is of no use to a worker."""
    document = Document(message, "change")
    position = document.position()
    entities = tuple(each.entity(position.revision) for each in document.documents("entities"))
    return Change(position, None, entities, document.optional_instant_text("previous_at"))


def proof(proven_at: float | None, audited_at: float, losses_proven_at: float | None) -> Message:
    """Instants on the monotonic clock, which follower and workers share."""
    instants = {"proven_at": proven_at, "audited_at": _finite(audited_at)}
    return {"type": "proof", **instants, "losses_proven_at": losses_proven_at}


# What is asked for


def entities(position: Position | None, found: Iterable[Entity]) -> Message:
    """An answer: entities, as they were when the follower stood there."""
    stated = [{**_key(each.key), "revision": each.revision, "state": fields_of(each.state)} for each in found]
    return {"position": None if position is None else _position(position), "entities": stated}


def parse_entities(answer: Message) -> tuple[Position | None, list[Entity]]:
    listed = Document(answer, "answer").documents("entities")
    return parse_position(answer.get("position")), [each.entity(each.integer("revision")) for each in listed]


def keys_of(named: Iterable[EntityKey]) -> list[list[str]]:
    return [[key.kind, key.key] for key in named]


def parse_keys(value: Iterable[Iterable[Any]]) -> tuple[EntityKey, ...]:
    return tuple(EntityKey(kind, key) for kind, key in value)


def signing_keys(issuer: str, published: Published) -> Message:
    body = published.body
    return {
        "type": "keys",
        "issuer": issuer,
        "body": None if body is None else body.decode("utf-8", "surrogateescape"),
        "at": _finite(published.at),
        "failure": published.failure,
    }


def parse_signing_keys(message: Message) -> Published:
    body, at = message["body"], message["at"]
    return Published(
        None if body is None else body.encode("utf-8", "surrogateescape"),
        float("-inf") if at is None else at,
        message["failure"],
    )


def _position(position: Position) -> dict[str, Any]:
    return {"epoch": position.epoch, "revision": position.revision, "at": position.at}


def _key(key: EntityKey) -> dict[str, str]:
    return {"kind": key.kind, "key": key.key}


def _finite(instant: float) -> float | None:
    return instant if isfinite(instant) else None
