"""The archive of the revision log: every state the permissions ever had, and when.

An archive is JSON lines in the order they were observed: `change` messages as the User service sends
them, and, where a history starts or jumps, a whole snapshot (`snapshot` line, entity lines, `end`
line). Each `change` and `snapshot` line also has `archived_at`: Unix seconds on the archiver's clock.
A live log is not enough: truncation and restored backups destroy what decisions were made from.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
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


@dataclass(slots=True)
class Moment:
    """The permissions as they were at `node`, current from `since` on (Unix seconds)."""

    node: Node
    since: float
    entities: dict[EntityId, State] = field(default_factory=dict)


def replay(lines: Iterable[str]) -> Iterator[Moment]:
    """Every moment in order. The moment is changed in place: use it before asking for the next one.

    Raises `ArchiveError` at a line that cannot follow the one before it.
    """
    numbered = enumerate(lines, 1)
    moment: Moment | None = None
    for number, text in numbered:
        try:
            line = json.loads(text)
            if line["type"] == "snapshot":
                moment = Moment(_node(line), line["archived_at"], dict(_entities(numbered, line["entities"])))
            else:
                moment = _follow(moment, line)
        except (ValueError, KeyError, TypeError) as error:
            raise ArchiveError(f"line {number}: {error!r}") from error
        yield moment


def _follow(moment: Moment | None, line: State) -> Moment:
    node = _node(line)
    if moment is None:
        if node.revision != 1:
            raise ValueError("an archive starts with revision 1 or with a snapshot")
        moment = Moment(node, line["archived_at"])
    elif (node.epoch, node.revision) != (moment.node.epoch, moment.node.revision + 1):
        raise ValueError(f"revision {node.revision} does not follow {moment.node.revision}")
    moment.node, moment.since = node, line["archived_at"]
    for entity in line["entities"]:
        _put(moment.entities, entity)
    return moment


def _entities(lines: Iterator[tuple[int, str]], count: int) -> Iterator[tuple[EntityId, State]]:
    rest = (json.loads(text) for _, text in lines)
    for entity in islice(rest, count):
        yield (entity["kind"], entity["key"]), entity["state"]
    last = next(rest, None)
    if not isinstance(last, dict) or last.get("type") != "end":
        raise ValueError("the snapshot does not end where it should")


def _put(entities: dict[EntityId, State], entity: State) -> None:
    key = (entity["kind"], entity["key"])
    if entity["state"] is None:
        entities.pop(key, None)
    else:
        entities[key] = entity["state"]


def _node(line: State) -> Node:
    return Node(line["epoch"], line["revision"], line["at"])
