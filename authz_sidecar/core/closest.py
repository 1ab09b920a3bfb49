"""Rules that nearly matched a request, each with what was in the way: most surprises are one of these."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from authz_sidecar.core import pattern
from authz_sidecar.core.pattern import Segment
from authz_sidecar.core.policy import Policy
from authz_sidecar.core.rules import MUTATING_METHODS, Rule

MOST = 10


@dataclass(frozen=True, slots=True)
class Closest:
    """A rule that does not count here, and why it does not."""

    rule: Rule
    why: str


def closest(policy: Policy, method: str, path: str, host: str = "") -> list[Closest]:
    """The nearest ones first, at most `MOST`."""
    counts = policy.match(method, path, host)
    texts = path.split("/")[1:]
    found = [
        (rank, Closest(rule, why))
        for rule in policy.rules
        if rule is not counts
        for rank, why in _reasons(rule, method, texts, _other_host(policy, rule, host))
    ]
    return [each for _, each in sorted(found, key=lambda ranked: ranked[0])[:MOST]]


def _other_host(policy: Policy, rule: Rule, host: str) -> str | None:
    """Why a rule does not count for this host, if that is so."""
    if rule.hosts:
        return None if host in rule.hosts else f"it is for {', '.join(rule.hosts)}"
    if host in policy.by_host:
        return f"it names no host, and {host} has rules of its own"
    if policy.by_host and rule.method in MUTATING_METHODS:
        return "it names no host, and other rules do"
    return None


def _reasons(
    rule: Rule, method: str, texts: Sequence[str], other_host: str | None
) -> Iterator[tuple[int, str]]:
    """At most one, and how near it is."""
    segments = pattern.parse(rule.path)
    same_method = rule.method == method or (rule.method, method) == ("GET", "HEAD")
    if other_host is not None:
        if same_method and pattern.matches(segments, texts):
            yield 0, other_host
        return
    if pattern.matches(segments, texts):
        yield (0, "a more specific rule counts") if same_method else (2, f"it is for {rule.method}")
        return
    if not same_method:
        return
    if why := _difference(segments, texts):
        yield 1, why


def _difference(segments: Sequence[Segment], texts: Sequence[str]) -> str | None:
    """What one change would make the path match; `None` when it needs more than one."""
    if pattern.matches(segments, [*texts, ""]):
        return "its path ends in a slash"
    if texts[-1:] == [""] and pattern.matches(segments, texts[:-1]):
        return "its path does not end in a slash"
    if len(segments) != len(texts):
        return None
    wrong = [
        (segment, text) for segment, text in zip(segments, texts, strict=True) if not segment.takes(text)
    ]
    folded = all(segment.text.casefold() == text.casefold() for segment, text in wrong)
    if folded:
        return "upper and lower case differ"
    same_text = any(text and segment.text == text for segment, text in zip(segments, texts, strict=True))
    if len(wrong) > 1 or not same_text:
        return None
    ((segment, text),) = wrong
    return f"it has {segment.text or 'nothing'} where the request has {text or 'nothing'}"
