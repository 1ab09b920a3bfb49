"""Which rule a request falls under: all rules, compiled into one set for every host that they name.

While no rule names hosts there is one set. Once any does, a host that is named has a set of its own, in which
no rule without hosts counts; and for hosts that none names no change is let through at all.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from authz_sidecar.core import hosts, pattern
from authz_sidecar.core.errors import ConfigurationError, Problem
from authz_sidecar.core.pattern import Segment
from authz_sidecar.core.rules import MUTATING_METHODS, SAFE_METHODS, Node, Rule, Rules, insert
from authz_sidecar.core.verdicts import UNBOUNDED, Requirement


@dataclass(frozen=True, slots=True)
class RuleSource:
    """One rule as written; `place` says where its path is: "policy.yaml:4: rules[0].path"."""

    place: str
    methods: tuple[str, ...]
    path: str
    requirement: Requirement
    hosts: tuple[str, ...] = ()
    shadow: bool = False


@dataclass(frozen=True, slots=True)
class Policy:
    """All rules. `digest` identifies what they say, in hexadecimal."""

    rules: tuple[Rule, ...]
    digest: str
    allow_method_override: bool
    by_host: Mapping[str, Rules] = field(repr=False)
    """Those of each host that has rules of its own."""
    elsewhere: Rules = field(repr=False)
    """Those of all other hosts."""
    actions: Mapping[tuple[str, str], Requirement] = field(default_factory=dict)
    """What questions that come without a request are about: by type of resource and name of action."""

    def at(self, host: str) -> Rules:
        """The rules for a host as `hosts.normal` gives it."""
        return self.by_host.get(host, self.elsewhere)

    def match(self, method: str, path: str, host: str = "") -> Rule | None:
        """The rule that counts for this request."""
        return self.at(host).match(method, path)


def compile(
    sources: Iterable[RuleSource],
    *,
    allow_method_override: bool = False,
    actions: Mapping[tuple[str, str], Requirement] | None = None,
) -> Policy:
    """Raises ConfigurationError with every problem of hosts, methods and paths, and every ambiguity."""
    problems: list[Problem] = []
    grown: dict[str, dict[str, Node]] = {"": {}}
    rules: list[Rule] = []
    for source in sources:
        _check_hosts(source, problems)
        methods, segments = _methods(source, problems), _segments(source, problems)
        for method in methods if segments else ():
            rule = _rule(source, method)
            for host in source.hosts or ("",):
                tree = grown.setdefault(host, {}).setdefault(method, Node())
                if (taken := insert(tree, segments, rule)) is not None:
                    other = f"{taken.label} ({taken.place})"
                    message = f"{rule.label} can match the same requests as {other}"
                    problems.append(Problem(source.place, message))
            rules.append(rule)
    if problems:
        raise ConfigurationError(list(dict.fromkeys(problems)))
    elsewhere = Rules(grown.pop(""), for_changes=not grown)
    by_host = {host: Rules(trees) for host, trees in grown.items()}
    digest = _digest(rules, allow_method_override, actions or {})
    return Policy(tuple(rules), digest, allow_method_override, by_host, elsewhere, actions or {})


def _rule(source: RuleSource, method: str) -> Rule:
    label = f"{method} {','.join(source.hosts)}{source.path}"
    own = source.requirement.own
    return Rule(
        method,
        source.path,
        source.requirement,
        label,
        source.place,
        source.hosts,
        source.shadow,
        0 if own is None else pattern.parameters(source.path)[own.parameter],
    )


def _check_hosts(source: RuleSource, problems: list[Problem]) -> None:
    mistakes = [hosts.mistake(host) for host in source.hosts]
    problems += [Problem(source.place, f"hosts: {mistake}") for mistake in mistakes if mistake]
    if len(set(source.hosts)) < len(source.hosts):
        problems.append(Problem(source.place, "hosts: one is there twice"))


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
    """The parsed path; empty, with the problems added, when it or what the rule says of it is wrong."""
    mistakes = pattern.path_mistakes(source.path)
    own = source.requirement.own
    if not mistakes and own is not None and own.parameter not in pattern.parameters(source.path):
        named = ", ".join(sorted(pattern.parameters(source.path))) or "none"
        mistakes = [f"own: {own.parameter}: no segment of this path has that name; there is {named}"]
    problems += [Problem(source.place, f"{source.path}: {mistake}") for mistake in mistakes]
    return [] if mistakes else pattern.parse(source.path)


def _digest(
    rules: Iterable[Rule], allow_method_override: bool, actions: Mapping[tuple[str, str], Requirement]
) -> str:
    normal: list[Any] = [allow_method_override, sorted((_said(rule) for rule in rules), key=json.dumps)]
    if actions:
        normal.append(
            sorted([*asked, wants.quantifier, *sorted(wants.permissions)] for asked, wants in actions.items())
        )
    return hashlib.sha256(json.dumps(normal).encode()).hexdigest()


def _said(rule: Rule) -> list[Any]:
    """All that a rule says; what few rules say only where it is said."""
    wants = rule.requirement
    own = None if wants.own is None else [wants.own.parameter, wants.own.claim]
    bound = None if wants.max_staleness == UNBOUNDED else wants.max_staleness
    more = {
        "hosts": sorted(rule.hosts),
        "own": own,
        "scopes": sorted(wants.scopes),
        "max_staleness": bound,
        "shadow": rule.shadow,
    }
    said = {name: value for name, value in more.items() if value}
    row = [rule.method, rule.path, wants.quantifier, *sorted(wants.permissions)]
    return [*row, said] if said else row
