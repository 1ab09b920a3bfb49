"""The archive of the revision log (docs/archive.md), replayed: every state the permissions had, and when."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

EntityId = tuple[str, str]
State = dict[str, Any]


class ArchiveError(Exception):
    """The archive cannot be replayed; the message names the line."""


class Node(NamedTuple):
    """One state of one history. `at` tells two histories apart that a restored backup gave one epoch."""

    epoch: str
    revision: int
    at: str

    def __str__(self) -> str:
        return f"revision {self.revision} of {self.epoch[:8]}"


@dataclass(slots=True)
class Moment:
    """The permissions as they were at `node`, current from `since` on (Unix seconds)."""

    node: Node
    since: float
    entities: dict[EntityId, State] = field(default_factory=dict)
    flaw: str = ""
    """What is wrong with the archive here."""
    jumped: bool = False
    """It does not follow the one before."""
    subject_fields: tuple[str, ...] = ()
    """By which users are named, the main one first; empty where the archive does not say."""


def replay(lines: Iterable[tuple[str, str]]) -> Iterator[Moment]:
    """Every moment in order, of lines with their places. It is changed in place: use it before the next one.

    Raises `ArchiveError` at a line that cannot follow the one before it.
    """
    rest = iter(lines)
    moment: Moment | None = None
    for place, text in rest:
        try:
            line = json.loads(text)
            if line["type"] == "snapshot":
                moment = _begin(moment, line, dict(_entities(rest)))
            else:
                moment = _follow(moment, line)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ArchiveError(f"{place}: {_words(error)}") from error
        yield moment


def _words(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return "is not JSON"
    if isinstance(error, KeyError):
        return f"lacks {error.args[0]}"
    return str(error) if isinstance(error, ValueError) else "is no entry of an archive"


def _begin(before: Moment | None, line: State, entities: dict[EntityId, State]) -> Moment:
    """A snapshot takes the place of all that was; where it repeats the state before, it must be equal."""
    node, fields = _node(line), tuple(line.get("subject_fields", ()))
    if before is None:
        return Moment(node, line["archived_at"], entities, subject_fields=fields)
    if before.node != node:
        missing = f"what came after {before.node} is missing up to {node}"
        return Moment(node, line["archived_at"], entities, missing, jumped=True, subject_fields=fields)
    different = sum(
        before.entities.get(key) != entities.get(key) for key in before.entities.keys() | entities.keys()
    )
    flaw = f"the snapshot of {node} differs in {different} entities from the changes" if different else ""
    return Moment(node, before.since, entities, flaw, subject_fields=fields or before.subject_fields)


def _follow(moment: Moment | None, line: State) -> Moment:
    node = _node(line)
    if moment is None:
        if node.revision != 1:
            raise ValueError("an archive starts with revision 1 or with a snapshot")
        moment = Moment(node, line["archived_at"])
    elif (node.epoch, node.revision) != (moment.node.epoch, moment.node.revision + 1):
        raise ValueError(f"revision {node.revision} does not follow {moment.node.revision}")
    moment.node, moment.since, moment.flaw, moment.jumped = node, line["archived_at"], "", False
    for entity in line["entities"]:
        _put(moment.entities, entity)
    return moment


def _entities(lines: Iterator[tuple[str, str]]) -> Iterator[tuple[EntityId, State]]:
    for count, (_, text) in enumerate(lines):
        line = json.loads(text)
        if line.get("type") == "end" and line["entities"] == count:
            return
        yield (line["kind"], line["key"]), line["state"]
    raise ValueError("the snapshot does not end")


def _put(entities: dict[EntityId, State], entity: State) -> None:
    key = (entity["kind"], entity["key"])
    if entity["state"] is None:
        entities.pop(key, None)
    else:
        entities[key] = entity["state"]


def _node(line: State) -> Node:
    return Node(line["epoch"], line["revision"], line["at"])
