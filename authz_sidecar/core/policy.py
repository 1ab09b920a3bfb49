"""Which rule a request falls under: path patterns compiled into one tree of segments per method.

Rules are compared segment by segment from the left: a literal beats `{x:int}` and `{x:uuid}`, those beat
`{x}`, and that beats `{x:path}`. The tree is searched in that order, so the first rule found is the most
specific one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from authz_sidecar.core import pattern
from authz_sidecar.core.errors import ConfigurationError, Problem
from authz_sidecar.core.pattern import Segment
from authz_sidecar.core.remembered import Remembered
from authz_sidecar.core.verdicts import Requirement

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
MUTATING_METHODS: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
REMEMBERED_BYTES: Final = 512 * 1024
"""For the rules of methods and paths: clients ask for the same few again and again."""


@dataclass(frozen=True, slots=True)
class RuleSource:
    """One rule as written; `place` says where its path is: "policy.yaml:4: rules[0].path"."""

    place: str
    methods: tuple[str, ...]
    path: str
    requirement: Requirement


@dataclass(frozen=True, slots=True)
class Rule:
    """What one method on one path pattern requires."""

    method: str
    path: str
    requirement: Requirement
    label: str
    """Names the rule to people: "POST /students/"."""
    place: str = field(default="", compare=False)
    """Where it is written."""


@dataclass(slots=True)
class _Node:
    """The patterns that go on from here, by their next segment."""

    literals: dict[str, _Node] = field(default_factory=dict)
    integer: _Node | None = None
    uuid: _Node | None = None
    segment: _Node | None = None
    end: Rule | None = None
    rest: Rule | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """All rules. `digest` identifies what they say, in hexadecimal."""

    rules: tuple[Rule, ...]
    digest: str
    allow_method_override: bool
    _trees: Mapping[str, _Node] = field(repr=False)
    _remembered: Remembered[tuple[str, str], Rule | None] = field(repr=False, compare=False)

    def governs(self, method: str) -> bool:
        """Whether a request of this method can fall under a rule or be refused for lack of one."""
        return method not in SAFE_METHODS or method in self._trees

    def match(self, method: str, path: str) -> Rule | None:
        """The most specific rule for a path as `target.path` gives it; case-sensitive."""
        return self._remembered[method, path]


def compile(sources: Iterable[RuleSource], *, allow_method_override: bool = False) -> Policy:
    """Raises ConfigurationError with every problem of the methods and paths, and every ambiguity."""
    problems: list[Problem] = []
    trees: dict[str, _Node] = {}
    rules: list[Rule] = []
    for source in sources:
        methods, segments = _methods(source, problems), _segments(source, problems)
        for method in methods if segments else ():
            rule = Rule(method, source.path, source.requirement, f"{method} {source.path}", source.place)
            taken = _insert(trees.setdefault(method, _Node()), segments, rule)
            if taken is not None:
                other = f"{taken.label} ({taken.place})"
                problems.append(Problem(source.place, f"{rule.label} can match the same requests as {other}"))
            rules.append(rule)
    if problems:
        raise ConfigurationError(problems)
    if "GET" in trees:
        trees["HEAD"] = trees["GET"]
    remembered = Remembered(partial(_match, trees), REMEMBERED_BYTES)
    digest = _digest(rules, allow_method_override)
    return Policy(tuple(rules), digest, allow_method_override, trees, remembered)


def _match(trees: Mapping[str, _Node], asked: tuple[str, str]) -> Rule | None:
    method, path = asked
    tree = trees.get(method)
    return None if tree is None else _find(tree, path.split("/"), 1)


def _find(node: _Node, segments: Sequence[str], index: int) -> Rule | None:
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


def _insert(node: _Node, segments: Sequence[Segment], rule: Rule) -> Rule | None:
    """Add a rule to a tree; returns the rule that already has exactly its place, if any."""
    for segment in segments:
        if segment.kind == "path":
            taken, node.rest = node.rest, node.rest or rule
            return taken
        node = _branch(node, segment)
    taken, node.end = node.end, node.end or rule
    return taken


def _branch(node: _Node, segment: Segment) -> _Node:
    if segment.kind == "literal":
        return node.literals.setdefault(segment.text, _Node())
    if segment.kind == "int":
        node.integer = node.integer or _Node()
        return node.integer
    if segment.kind == "uuid":
        node.uuid = node.uuid or _Node()
        return node.uuid
    node.segment = node.segment or _Node()
    return node.segment


def _methods(source: RuleSource, problems: list[Problem]) -> list[str]:
    known = (SAFE_METHODS | MUTATING_METHODS) - {"HEAD"}
    good = []
    for method in source.methods:
        if method == "HEAD":
            problems.append(Problem(source.place, "HEAD: write GET, which covers HEAD"))
        elif method not in known:
            problems.append(Problem(source.place, f"{method}: not one of {', '.join(sorted(known))}"))
        else:
            good.append(method)
    return good


def _segments(source: RuleSource, problems: list[Problem]) -> list[Segment]:
    """The parsed path; empty, with the problems added, when it is wrong."""
    mistakes = pattern.path_mistakes(source.path)
    problems += [Problem(source.place, f"{source.path}: {mistake}") for mistake in mistakes]
    return [] if mistakes else pattern.parse(source.path)


def _digest(rules: Iterable[Rule], allow_method_override: bool) -> str:
    normal = sorted(
        [rule.method, rule.path, rule.requirement.quantifier, *sorted(rule.requirement.permissions)]
        for rule in rules
    )
    return hashlib.sha256(json.dumps([allow_method_override, normal]).encode()).hexdigest()
