"""Which rules count for some request: for each an example, for those that others leave nothing to, none.

A rule is tried with names, numbers and UUIDs that no rule has as literal text: those fall under as few other
rules as anything can. So a rule without an example here has none at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from authz_sidecar.core import pattern
from authz_sidecar.core.pattern import Kind, Segment
from authz_sidecar.core.policy import Policy
from authz_sidecar.core.rules import Rule


def example(policy: Policy, rule: Rule) -> str | None:
    """A path on which this rule is the one that counts; `None` when there is none."""
    own_sets = [policy.at(host) for host in rule.hosts or ("",)]
    return next(
        (
            path
            for path in _candidates(policy, rule)
            if any(rules.match(rule.method, path) is rule for rules in own_sets)
        ),
        None,
    )


def _candidates(policy: Policy, rule: Rule) -> Iterator[str]:
    """Shorter ones first. A rest is empty, or some segments, or ends in a slash."""
    segments = pattern.parse(rule.path)
    texts = fresh(policy)
    name = texts["segment"]
    begun = "".join(f"/{texts.get(each.kind, each.text)}" for each in segments if each.kind != "path")
    if segments[-1].kind != "path":
        yield begun
        return
    deepest = max(other.path.count("/") for other in policy.rules)
    for count in range(deepest + 1):
        yield begun + f"/{name}" * count + "/"
        yield begun + f"/{name}" * (count + 1)


@dataclass(frozen=True, slots=True)
class Shadow:
    """A rule matches `example`, and yet another one that asks for something else counts there."""

    rule: Rule
    by: Rule
    example: str


def shadows(policy: Policy) -> Iterator[Shadow]:
    """Rules that lose some of their paths to one that is no special case of them: seldom what was meant."""
    texts = fresh(policy)
    parsed = [(rule, pattern.parse(rule.path)) for rule in policy.rules]
    pairs = ((first, second) for index, first in enumerate(parsed) for second in parsed[index + 1 :])
    for (one, ours), (other, theirs) in pairs:
        host = _common_host(one, other)
        if one.method != other.method or one.requirement == other.requirement or host is None:
            continue
        path = _common(ours, theirs, texts)
        if path is None or _covers(ours, theirs) or _covers(theirs, ours):
            continue
        counts = policy.match(one.method, path, host)
        if counts is one or counts is other:
            yield Shadow(other if counts is one else one, counts, path)


def _common_host(one: Rule, other: Rule) -> str | None:
    """A host that both are for; empty where both name none."""
    if not one.hosts and not other.hosts:
        return ""
    return min(set(one.hosts) & set(other.hosts), default=None)


def _common(ours: Sequence[Segment], theirs: Sequence[Segment], fresh: Mapping[Kind, str]) -> str | None:
    """A path that both patterns match."""
    path = ""
    for index in range(max(len(ours), len(theirs))):
        text = _both(_at(ours, index), _at(theirs, index), fresh)
        if text is None:
            return None
        path += f"/{text}"
    texts = path.split("/")[1:]
    return path if pattern.matches(ours, texts) and pattern.matches(theirs, texts) else None


_REST: Final = Segment("path", "")
_NARROW: Final[frozenset[Kind]] = frozenset({"int", "uuid"})
"""Kinds that take some segments only, and have none in common."""


def _at(segments: Sequence[Segment], index: int) -> Segment:
    """Past its end a pattern is tried as if it had a rest; whether it has is judged by the whole."""
    return segments[index] if index < len(segments) else _REST


def _both(one: Segment, other: Segment, fresh: Mapping[Kind, str]) -> str | None:
    for each, opposite in ((one, other), (other, one)):
        if each.kind == "literal":
            return each.text if opposite.takes(each.text) else None
    kinds = {one.kind, other.kind} & _NARROW
    if len(kinds) == 2:  # digits are no UUID
        return None
    return fresh[kinds.pop() if kinds else "segment"]


def _covers(general: Sequence[Segment], special: Sequence[Segment]) -> bool:
    """Whether every path of the special pattern is one of the general pattern, too."""
    for index, segment in enumerate(general):
        if segment.kind == "path":
            return index < len(special)
        if index >= len(special) or not _takes_all_of(segment, special[index]):
            return False
    return len(general) == len(special)


def _takes_all_of(general: Segment, special: Segment) -> bool:
    if special.kind == "literal":
        return general.takes(special.text)
    if general.kind in _NARROW or general.kind == "literal":
        return general.kind == special.kind
    return general.kind == "path" or special.kind != "path"


_UUID: Final = "00000000-0000-4000-8000-{:012x}"


def fresh(policy: Policy) -> Mapping[Kind, str]:
    """A name, a number and a UUID that stand in no rule as literal text."""
    written = {text for rule in policy.rules for text in rule.path.split("/")}
    name, number, count = "x", "1", 0
    while name in written:
        name += "x"
    while number in written:
        number += "1"
    while _UUID.format(count) in written:
        count += 1
    return {"segment": name, "int": number, "uuid": _UUID.format(count)}
