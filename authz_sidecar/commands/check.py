"""`authz-sidecar check`: what settings and policy say, whether the policy's tests hold, and what is doubtful.

Exit codes: 0 nothing to complain of, 1 something was found, 2 the sidecar would not start.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Final

from authz_sidecar.commands import online, openapi, policy_tests
from authz_sidecar.commands.command import Command
from authz_sidecar.commands.policy_tests import Result
from authz_sidecar.commands.settings import add_settings, sources
from authz_sidecar.config import configuration, findings
from authz_sidecar.config.findings import Finding, Kind
from authz_sidecar.config.issuer import Issuer
from authz_sidecar.config.jwt_settings import JwtSettings
from authz_sidecar.config.policy_file import PolicyFile
from authz_sidecar.config.table import Settings
from authz_sidecar.core import reach
from authz_sidecar.core.errors import ConfigurationError, MalformedMessage, Problem, Unavailable
from authz_sidecar.core.policy import Policy
from authz_sidecar.core.rules import MUTATING_METHODS, Rule

FOUND: Final = 1
_ANYONE: Final = JwtSettings(issuer="https://issuer.example", audience="service", jwks_url="")
"""For a policy that is checked alone."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is checked; `settings` is `None` for a policy alone."""

    file: PolicyFile
    settings: Settings | None
    issuers: tuple[Issuer, ...]
    variables: Mapping[str, str]
    accepted: frozenset[Kind]
    online: bool = False
    openapi: str | None = None
    """File or URL."""


def check(asked: Asked) -> int:
    """Print all of it. Returns the exit code."""
    policy = asked.file.policy
    issuers = asked.issuers or (_ANYONE.alone,)
    results = policy_tests.run(policy, issuers[0], asked.file.tests)
    tested = Counter(result.decision.rule for result in results)
    if asked.settings is not None:
        _print_port(asked.settings)
    _print_routes(policy, tested if results else None)
    _print_tests(policy, results, tested)
    return _report(_findings(asked, results, tested), asked.accepted)


def _print_port(settings: Settings) -> None:
    listens = ", ".join(map(str, settings.listen))
    decisions = settings.decisions
    source = " and ".join(filter(None, decisions.source or ("the path",)))
    hooks = f"{', '.join(map(str, decisions.listen))} answers those, by {source}" if decisions.listen else ""
    hint = hooks or "AUTHZ_DECISIONS_LISTEN opens a port for those"
    print(
        f"{listens} is to be sent the requests themselves; it is no hook (auth_request, ForwardAuth): {hint}"
    )


def _print_routes(policy: Policy, tested: Counter[str | None] | None) -> None:
    rows = [(rule.method, ",".join(rule.hosts) + rule.path, _required(rule)) for rule in policy.rules]
    widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1, 2)]
    for rule, row in zip(policy.rules, rows, strict=True):
        line = "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True))
        count = "" if tested is None else f"  tests: {tested[rule.label]}"
        print(f"{line}{count}".rstrip())
    if policy.by_host:
        print(f"hosts: {', '.join(policy.by_host)}; what changes something on any other is refused")
    print(f"policy {policy.digest}: everything else that changes something is refused")
    reading = sum(rule.method == "GET" for rule in policy.rules)
    through = f"where one of {reading} rules for GET lets them" if reading else "nowhere: no rule is for GET"
    print(f"WebSockets pass {through}")


def _required(rule: Rule) -> str:
    """What a rule asks for, and what is said of it beside."""
    bound = rule.requirement.max_staleness
    notes = [f"at most {bound:g} s old"] * (bound < inf) + ["shadow: refuses nobody"] * rule.shadow
    return "; ".join([str(rule.requirement), *notes])


def _print_tests(policy: Policy, results: Sequence[Result], tested: Counter[str | None]) -> None:
    if not results:
        return
    passed = sum(result.passed for result in results)
    covered = sum(rule.label in tested for rule in policy.rules)
    print(f"tests: {passed} of {len(results)} passed; they reach {covered} of {len(policy.rules)} rules")


def _findings(asked: Asked, results: Sequence[Result], tested: Counter[str | None]) -> Iterator[Finding]:
    yield from findings.of_environment(asked.variables)
    if asked.settings is not None:
        yield from findings.of_settings(asked.settings, asked.issuers)
    policy = asked.file.policy
    for rule in policy.rules:
        if reach.example(policy, rule) is None:
            yield Finding(Kind.DEAD_RULE, rule.place, f"{rule.label} never counts: {_why_dead(policy, rule)}")
        elif results and rule.label not in tested:
            yield Finding(Kind.UNTESTED_RULE, rule.place, f"no test reaches {rule.label}")
    for each in reach.shadows(policy):
        message = (
            f"{each.example} falls under {each.by.label} ({each.by.place}), which is no special case of it"
        )
        yield Finding(Kind.SHADOWED_RULE, each.rule.place, f"{each.rule.label}: {message}")
    for result in results:
        if not result.passed:
            yield Finding(Kind.FAILED_TEST, result.expectation.place, _failure(result))
    if asked.online and asked.settings is not None:
        yield from asyncio.run(online.findings(asked.settings, asked.issuers, policy.rules))
    if asked.openapi is not None:
        yield from _refused_operations(policy, asked.openapi)


def _why_dead(policy: Policy, rule: Rule) -> str:
    if policy.by_host and not rule.hosts and rule.method in MUTATING_METHODS:
        return "other rules name hosts, so it needs `hosts`, too"
    return "more specific rules take every path that it matches"


def _refused_operations(policy: Policy, place: str) -> Iterator[Finding]:
    try:
        if place.startswith(("http://", "https://")):
            content = asyncio.run(online.download(place, openapi.MAX_BYTES))
        else:
            content = Path(place).read_bytes()
        yield from openapi.refused(policy, openapi.operations(content), place)
    except OSError as error:
        yield Finding(Kind.OPENAPI, place, f"cannot be read: {error.strerror}")
    except (Unavailable, MalformedMessage) as error:
        yield Finding(Kind.OPENAPI, place, str(error))


def _failure(result: Result) -> str:
    test, decision = result.expectation.model, result.decision
    by = f"by the rule {decision.rule}" if decision.rule else "without a rule"
    detail = f" ({decision.verdict.detail})" if decision.verdict.detail else ""
    return f"{test.method} {test.path} is {decision.verdict.code}{detail} {by}, not {test.expect}"


def _report(found: Iterable[Finding], accepted: frozenset[Kind]) -> int:
    counted = 0
    for finding in found:
        known = finding.kind in accepted
        counted += not known
        print(f"{'accepted' if known else 'found'}: {finding}", file=sys.stderr)
    return FOUND if counted else 0


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "Exit codes: 0 nothing to complain of, 1 something was found, 2 it would not start."
    add_settings(parser)
    alone = parser.add_mutually_exclusive_group()
    alone.add_argument("--policy-only", action="store_true", help="check the policy alone, without settings")
    alone.add_argument("--online", action="store_true", help="ask the User service, too")
    parser.add_argument(
        "--openapi", metavar="FILE|URL", help="tell which operations of the service no rule lets through"
    )
    parser.add_argument(
        "--accept",
        action="append",
        default=[],
        choices=[kind.value for kind in Kind],
        metavar="KIND",
        help=f"findings that are no reason to fail: {', '.join(Kind)}",
    )


def _main(arguments: argparse.Namespace) -> int:
    given = sources(arguments)
    read = None if arguments.policy_only else configuration.read(given)
    file = read.file if read else configuration.policy(given)
    if file is None:
        raise ConfigurationError([Problem("--policy", "is required: the policy file")])
    asked = Asked(
        file,
        read.settings if read else None,
        read.issuers if read else (),
        os.environ,
        frozenset(map(Kind, arguments.accept)),
        arguments.online,
        arguments.openapi,
    )
    return check(asked)


COMMAND = Command("check", "check settings and policy, and run the policy's tests", _add_arguments, _main)
