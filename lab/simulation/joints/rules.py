"""The rules by which the sidecars of a world decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from authz_sidecar.core import policy
from authz_sidecar.core.verdicts import Own, Requirement

PERMISSIONS = ("s.add", "s.change", "s.delete")
Rules = Mapping[tuple[str, str], Requirement]
"""What each method demands at each path."""
ANYONE, ALIVE = Requirement("anyone"), Requirement("authenticated")
CHANGE, FRESH = Requirement("any", ("s.change",)), Requirement("any", ("s.change",), max_staleness=1.5)
OWN = Requirement("any", ("s.change",), own=Own("id"))
POLICIES: Sequence[Rules] = (
    {
        ("POST", "/students/"): Requirement("any", ("s.add",)),
        ("PUT", "/students/{id}/"): CHANGE,
        ("DELETE", "/students/{id}/"): Requirement("all", ("s.change", "s.delete")),
        ("PATCH", "/students/{id}/"): Requirement("any", ("s.add", "s.delete")),
        ("POST", "/me/"): ALIVE,
        ("POST", "/hooks/"): ANYONE,
        ("PUT", "/profiles/{id}/"): OWN,
        ("PUT", "/grades/{id}/"): FRESH,
    },
    {
        ("POST", "/students/"): Requirement("all", ("s.add", "s.change")),
        ("PUT", "/students/{id}/"): FRESH,
        ("PATCH", "/students/{id}/"): Requirement("any", ("s.delete",)),
        ("POST", "/me/"): Requirement("any", ("s.add",)),
        ("POST", "/hooks/"): ALIVE,
        ("PUT", "/profiles/{id}/"): Requirement("all", ("s.change",), own=Own("id")),
    },
    {
        ("POST", "/students/"): ALIVE,
        ("PUT", "/students/{id}/"): ALIVE,
        ("DELETE", "/students/{id}/"): Requirement("any", ("s.delete",)),
        ("PATCH", "/students/{id}/"): ANYONE,
        ("POST", "/me/"): ALIVE,
        ("POST", "/hooks/"): ANYONE,
        ("PUT", "/profiles/{id}/"): CHANGE,
        ("PUT", "/grades/{id}/"): CHANGE,
    },
)
"""The usual one, one that demands more, and one that demands less."""


def compiled(rules: int) -> policy.Policy:
    """That one of `POLICIES`, as the product has it."""
    return _COMPILED[rules]


def digest(rules: int) -> str:
    """By which decisions name that policy."""
    return _COMPILED[rules].digest


def _compiled(rules: Rules) -> policy.Policy:
    return policy.compile(
        policy.RuleSource("simulation", (method,), path, requirement)
        for (method, path), requirement in rules.items()
    )


_COMPILED = tuple(map(_compiled, POLICIES))
