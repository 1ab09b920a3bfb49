"""`authz-sidecar readiness`: whether what is in shadow mode can be enforced, by what it would have refused.

Exit codes: 0 safe to enforce, 1 not, 2 it cannot be told.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from authz_sidecar.commands.affected import Affected, note
from authz_sidecar.commands.command import Command, not_negative
from authz_sidecar.commands.log_files import Unreadable, decisions
from authz_sidecar.config import policy_file
from authz_sidecar.core.errors import ConfigurationError, Problem
from authz_sidecar.core.policy import Policy
from authz_sidecar.core.rules import Rule
from authz_sidecar.core.verdicts import Code
from authz_sidecar.observe.instants import Instants
from authz_sidecar.observe.logged import Logged

DAYS: Final = 7.0
_DAY_SECONDS: Final = 86_400.0


class Refusal(NamedTuple):
    """What would have been refused, by which rule and why."""

    rule: str | None
    code: Code


@dataclass(slots=True)
class Record:
    """What the log says of one policy."""

    refusals: dict[Refusal, Affected] = field(default_factory=dict)
    """That would have been, and were not."""
    rules: Counter[str | None] = field(default_factory=Counter)
    """Decisions by rule."""
    others: int = 0
    """Decisions by other policies, which say nothing of this one."""
    first: str = ""
    last: str = ""

    def add(self, logged: Logged) -> None:
        self.first = min(self.first or logged.at, logged.at)
        self.last = max(self.last, logged.at)
        self.rules[logged.rule] += 1
        if logged.would_refuse:
            note(self.refusals, Refusal(logged.rule, logged.code), logged)

    @property
    def days(self) -> float:
        """Between the first decision and the last."""
        if not self.first:
            return 0.0
        between = datetime.fromisoformat(self.last) - datetime.fromisoformat(self.first)
        return between.total_seconds() / _DAY_SECONDS

    @property
    def would_refuse(self) -> int:
        return sum(each.count for each in self.refusals.values())

    def unused(self, policy: Policy) -> list[Rule]:
        return [rule for rule in policy.rules if rule.label not in self.rules]


def recorded(logged: Iterable[Logged], policy: str, since: str = "") -> Record:
    """Of the decisions by that policy (a digest) from `since` on."""
    record = Record()
    for each in logged:
        if each.at < since:
            continue
        if each.policy == policy:
            record.add(each)
        else:
            record.others += 1
    return record


def objections(record: Record, days: float, unreadable: Unreadable) -> list[str]:
    """Why it is not safe; empty: it is."""
    found = []
    if record.refusals:
        found.append(f"{record.would_refuse:,} decisions would have been refusals")
    if record.days < days:
        found.append(f"only {record.days:.1f} of {days:g} days are covered")
    if unreadable.count:
        found.append(f"{unreadable.count:,} lines cannot be read")
    return found


# for people


def worded(record: Record, policy: Policy, against: list[str]) -> Iterator[str]:
    """The report in lines."""
    decided, unused = record.rules.total(), record.unused(policy)
    rules = f"{len(unused)} rule{'s' * (len(unused) != 1)} never used"
    verdict = f"not safe to enforce: {'; '.join(against)}" if against else "safe to enforce"
    yield f"{verdict}: 0 would-be refusals in {record.days:.1f} days, {rules}" if not against else verdict
    yield f"{decided:,} decisions by policy {policy.digest[:12]} from {record.first} to {record.last}"
    if record.others:
        yield f"{record.others:,} decisions by other policies are not counted; see what `replay` says of them"
    for refusal, affected in sorted(record.refusals.items(), key=lambda each: -each[1].count):
        by = f"by {refusal.rule}" if refusal.rule else "without a rule"
        yield f"\nwould refuse {affected.counted()}: {refusal.code}, {by}"
        yield from affected.worded()
    if unused:
        yield f"\n{rules}:"
        yield from (f"  {rule.label} ({rule.place})" for rule in unused)


# for programs


def as_dict(record: Record, policy: Policy, against: list[str]) -> dict[str, Any]:
    """Plain values, ready for JSON."""
    return {
        "safe": not against,
        "objections": against,
        "policy": policy.digest,
        "first": record.first,
        "last": record.last,
        "days": round(record.days, 3),
        "decisions": record.rules.total(),
        "decisions_by_other_policies": record.others,
        "would_refuse": [
            {"rule": refusal.rule, "code": refusal.code.value, **affected.as_dict()}
            for refusal, affected in record.refusals.items()
        ],
        "unused_rules": [{"rule": rule.label, "place": rule.place} for rule in record.unused(policy)],
    }


# the command


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Reads the decision logs of a sidecar in shadow mode, or with rules in shadow mode: what would have "
        "been refused, for whom, and which rules were never used."
    )
    parser.epilog = "Exit codes: 0 safe to enforce, 1 not, 2 it cannot be told."
    several = "decision logs; compressed ones end in .gz; - is standard input"
    parser.add_argument("decisions", type=Path, nargs="+", metavar="FILE", help=several)
    parser.add_argument("--policy", type=Path, required=True, metavar="FILE", help="the policy to enforce")
    enough = f"how much time the log must cover [default {DAYS:g}]"
    parser.add_argument("--days", type=not_negative, default=DAYS, metavar="NUMBER", help=enough)
    since = "look at nothing before, like 2026-11-20 or 2026-11-20T08:00:00+01:00"
    parser.add_argument("--since", metavar="TIME", help=since)
    parser.add_argument("--json", action="store_true", help="all that was found, for programs")


def _main(arguments: argparse.Namespace) -> int:
    since = _instant(arguments.since) if arguments.since else ""
    policy = policy_file.load(arguments.policy)
    unreadable = Unreadable()
    record = recorded(decisions(arguments.decisions, unreadable, "readiness"), policy.digest, since)
    if not record.rules:
        raise ConfigurationError([Problem("decisions", _nothing(record, policy, unreadable))])
    against = objections(record, arguments.days, unreadable)
    if arguments.json:
        print(json.dumps(as_dict(record, policy, against), indent=2))
    else:
        print("\n".join([*worded(record, policy, against), *unreadable.worded()]))
    return 1 if against else 0


def _instant(text: str) -> str:
    """As the log writes instants, which compare as texts. Without an offset: UTC."""
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError([Problem("--since", f"must be like 2026-11-20, not {text!r}")]) from None
    return Instants().text(instant.replace(tzinfo=instant.tzinfo or UTC).timestamp())


def _nothing(record: Record, policy: Policy, unreadable: Unreadable) -> str:
    if unreadable.told:
        return unreadable.told[0]
    others = f"; {record.others:,} are by other policies: has the sidecar reloaded?" if record.others else ""
    return f"hold no decision by this policy ({policy.digest[:12]}){others}"


COMMAND = Command("readiness", "tell whether what is in shadow mode can be enforced", _add_arguments, _main)
