"""Which rules count for some request: for each an example, for those that others leave nothing to, none.

A rule is tried with names and numbers that no rule has as literal text: those fall under as few other rules
as anything can. So a rule without an example here has none at all.
"""

from __future__ import annotations

from collections.abc import Iterator

from authz_sidecar.core import pattern
from authz_sidecar.core.policy import Policy, Rule


def example(policy: Policy, rule: Rule) -> str | None:
    """A path on which this rule is the one that counts; `None` when there is none."""
    return next((path for path in _candidates(policy, rule) if policy.match(rule.method, path) is rule), None)


def _candidates(policy: Policy, rule: Rule) -> Iterator[str]:
    """Shorter ones first. A rest is empty, or some segments, or ends in a slash."""
    segments = pattern.parse(rule.path)
    name, number = fresh(policy)
    texts = {"segment": name, "int": number}
    begun = "".join(f"/{texts.get(each.kind, each.text)}" for each in segments if each.kind != "path")
    if segments[-1].kind != "path":
        yield begun
        return
    deepest = max(other.path.count("/") for other in policy.rules)
    for count in range(deepest + 1):
        yield begun + f"/{name}" * count + "/"
        yield begun + f"/{name}" * (count + 1)


def fresh(policy: Policy) -> tuple[str, str]:
    """A name and a number that stand in no rule as literal text."""
    written = {text for rule in policy.rules for text in rule.path.split("/")}
    name, number = "x", "1"
    while name in written:
        name += "x"
    while number in written:
        number += "1"
    return name, number
