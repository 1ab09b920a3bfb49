"""One set of rules as a tree of path segments per method, in which the most specific rule is found first.

Rules are compared segment by segment from the left: a literal beats `{x:int}` and `{x:uuid}`, those beat
`{x}`, and that beats `{x:path}`. The tree is searched in that order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from authz_sidecar.core import ownership, pattern
from authz_sidecar.core.pattern import Segment
from authz_sidecar.core.remembered import Remembered
from authz_sidecar.core.verdicts import Identity, Requirement

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
MUTATING_METHODS: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
REMEMBERED_BYTES: Final = 512 * 1024
"""For the rules of methods and paths: clients ask for the same few again and again."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What one method on one path pattern requires."""

    method: str
    path: str
    requirement: Requirement
    label: str
    """Names the rule to people: "POST /students/", "POST a.example,b.example/students/"."""
    place: str = field(default="", compare=False)
    """Where it is written."""
    hosts: tuple[str, ...] = ()
    """Those that it is for; none: for every host that no rule names."""
    shadow: bool = False
    """It decides and refuses nobody."""
    own_at: int = 0
    """Which segment of a path, counted from what is before its first slash, `own` is about."""

    def owned_by(self, identity: Identity, path: str) -> bool:
        """Whether the parameter that `own` is about names this asker in a path that the rule matches."""
        own = self.requirement.own
        return own is not None and ownership.owns(identity, own, path.split("/")[self.own_at])


@dataclass(slots=True)
class Node:
    """The patterns that go on from here, by their next segment."""

    literals: dict[str, Node] = field(default_factory=dict)
    integer: Node | None = None
    uuid: Node | None = None
    segment: Node | None = None
    end: Rule | None = None
    rest: Rule | None = None


class Rules:
    """Those that may count for one request: all there are, or those of its host."""

    def __init__(self, trees: Mapping[str, Node], *, for_changes: bool = True) -> None:
        """Trees by method. Without `for_changes` no change is let through, and no WebSocket either."""
        self.for_changes = for_changes
        self._trees = {
            method: tree for method, tree in trees.items() if for_changes or method in SAFE_METHODS
        }
        if "GET" in self._trees:
            self._trees["HEAD"] = self._trees["GET"]
        self._remembered = Remembered(partial(_match, self._trees), REMEMBERED_BYTES)

    def governs(self, method: str) -> bool:
        """Whether a request of this method can fall under a rule or be refused for lack of one."""
        return method not in SAFE_METHODS or method in self._trees

    def match(self, method: str, path: str) -> Rule | None:
        """The most specific rule for a path as `target.path` gives it; case-sensitive."""
        return self._remembered[method, path]


def _match(trees: Mapping[str, Node], asked: tuple[str, str]) -> Rule | None:
    method, path = asked
    tree = trees.get(method)
    return None if tree is None else _find(tree, path.split("/"), 1)


def _find(node: Node, segments: Sequence[str], index: int) -> Rule | None:
    """The first rule in order of specificity. Visits no node twice."""
    if index == len(segments):
        return node.end
    segment = segments[index]
    child = node.literals.get(segment)
    rule = _find(child, segments, index + 1) if child else None
    if rule is None and node.integer and pattern.is_number(segment):
        rule = _find(node.integer, segments, index + 1)
    if rule is None and node.uuid and pattern.is_uuid(segment):
        rule = _find(node.uuid, segments, index + 1)
    if rule is None and node.segment and segment:
        rule = _find(node.segment, segments, index + 1)
    return rule or node.rest


def insert(node: Node, segments: Sequence[Segment], rule: Rule) -> Rule | None:
    """Add a rule to a tree; returns the rule that already has exactly its place, if any."""
    for segment in segments:
        if segment.kind == "path":
            taken, node.rest = node.rest, node.rest or rule
            return taken
        node = _branch(node, segment)
    taken, node.end = node.end, node.end or rule
    return taken


def _branch(node: Node, segment: Segment) -> Node:
    if segment.kind == "literal":
        return node.literals.setdefault(segment.text, Node())
    if segment.kind == "int":
        node.integer = node.integer or Node()
        return node.integer
    if segment.kind == "uuid":
        node.uuid = node.uuid or Node()
        return node.uuid
    node.segment = node.segment or Node()
    return node.segment
