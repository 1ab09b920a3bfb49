"""`authz-sidecar replay`: logged decisions under another policy, or without what a group gives.

Exit codes: 0 none would change, 1 some would, or it cannot be known of some, 2 it could not be found out.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from authz_sidecar.commands import past
from authz_sidecar.commands.affected import Affected, note
from authz_sidecar.commands.command import Command
from authz_sidecar.commands.log_files import Unreadable, decisions
from authz_sidecar.config import policy_file
from authz_sidecar.core.errors import ConfigurationError, Problem
from authz_sidecar.core.verdicts import Code
from authz_sidecar.observe.logged import Logged
from authz_sidecar.replay import Judged, Replay, Unknown

SHOWN_GROUPS: Final = 20


class Flip(NamedTuple):
    """What a decision was and would be."""

    allowed: bool
    """What it would be."""
    then: Code
    rule_then: str | None
    now: Code
    rule_now: str | None


@dataclass(slots=True)
class Outcome:
    """What became of all decisions."""

    same: int = 0
    other_reason: int = 0
    """Let through or refused as before, by another rule or for another reason."""
    revocations: int = 0
    """Second decisions on requests that were let through, which are left out."""
    flips: dict[Flip, Affected] = field(default_factory=dict)
    unknown: dict[Unknown, Affected] = field(default_factory=dict)
    policies: Counter[str] = field(default_factory=Counter)
    first: str = ""
    last: str = ""

    def note(self, logged: Logged, judged: Judged) -> None:
        self.policies[logged.policy] += 1
        self.first = min(self.first or logged.at, logged.at)
        self.last = max(self.last, logged.at)
        if judged.unknown is not None or judged.code is None:
            note(self.unknown, judged.unknown or Unknown.HELD, logged)
        elif judged.allowed != logged.allowed:
            flip = Flip(judged.allowed, logged.code, logged.rule, judged.code, judged.rule)
            note(self.flips, flip, logged)
        elif (judged.code, judged.rule) == (logged.code, logged.rule):
            self.same += 1
        else:
            self.other_reason += 1

    @property
    def decisions(self) -> int:
        return self.policies.total()

    def flipping(self, *, allowed: bool) -> list[tuple[Flip, Affected]]:
        """Those that would be let through, or refused; the most frequent first."""
        found = [(flip, affected) for flip, affected in self.flips.items() if flip.allowed == allowed]
        return sorted(found, key=lambda each: -each[1].subjects.total())


def replayed(replay: Replay, logged: Iterable[Logged]) -> Outcome:
    """All of them."""
    outcome = Outcome()
    for each in logged:
        if each.revoking:
            outcome.revocations += 1
        else:
            outcome.note(each, replay.judge(each))
    return outcome


# for programs


def as_dict(outcome: Outcome, policy: str) -> dict[str, Any]:
    """Plain values, ready for JSON, and all of them."""
    return {
        "policy": policy,
        "policies_then": dict(outcome.policies),
        "first": outcome.first,
        "last": outcome.last,
        "decisions": outcome.decisions,
        "same": outcome.same,
        "other_reason": outcome.other_reason,
        "flips": [
            {**_sides(flip), **affected.as_dict()}
            for allowed in (False, True)
            for flip, affected in outcome.flipping(allowed=allowed)
        ],
        "unknown": [{"why": why.value, **each.as_dict()} for why, each in outcome.unknown.items()],
        "revocations_left_out": outcome.revocations,
    }


def _sides(flip: Flip) -> dict[str, Any]:
    return {
        "allowed": flip.allowed,
        "then": {"code": flip.then.value, "rule": flip.rule_then},
        "now": {"code": flip.now.value, "rule": flip.rule_now},
    }


# for people


def worded(outcome: Outcome, policy: str) -> Iterator[str]:
    """The outcome in lines."""
    yield f"{outcome.decisions:,} decisions from {outcome.first} to {outcome.last}"
    others = [f"{each[:12]} ({count:,})" for each, count in outcome.policies.most_common(3)]
    yield f"made by policy {', '.join(others)}; made again by {policy[:12]}"
    yield ""
    counts = {
        "as they were": outcome.same,
        "the same outcome by another rule or for another reason": outcome.other_reason,
        "let through then, refused now": _count(outcome.flipping(allowed=False)),
        "refused then, let through now": _count(outcome.flipping(allowed=True)),
        "cannot be known": _count(outcome.unknown.items()),
    }
    yield from (f"{count:>12,}  {what}" for what, count in counts.items())
    for allowed, title in ((False, "refused now"), (True, "let through now")):
        flipping = outcome.flipping(allowed=allowed)
        for flip, affected in flipping[:SHOWN_GROUPS]:
            yield ""
            yield f"{title}: {affected.counted()}"
            yield f"  then      {_worded_side(flip.then, flip.rule_then)}"
            yield f"  now       {_worded_side(flip.now, flip.rule_now)}"
            yield from affected.worded()
        if len(flipping) > SHOWN_GROUPS:
            yield f"\n{title}: {len(flipping) - SHOWN_GROUPS} more ways; --json shows all"
    for why, affected in outcome.unknown.items():
        yield f"\ncannot be known: {affected.counted()}: {why}"
        yield from affected.worded()


def _count(found: Iterable[tuple[object, Affected]]) -> int:
    return sum(affected.subjects.total() for _, affected in found)


def _worded_side(code: Code, rule: str | None) -> str:
    return f"{code}, by {rule}" if rule else f"{code}, without a rule"


# the command


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Makes the decisions of a log again, each at the revision that it was made at, and tells which would "
        "be others: which request, for whom, how often. Nobody is asked, and nothing is changed."
    )
    parser.epilog = (
        "Exit codes: 0 none would change; 1 some would, or it cannot be known of some; "
        "2 it could not be found out."
    )
    several = "decision logs; compressed ones end in .gz; - is standard input"
    parser.add_argument("decisions", type=Path, nargs="+", metavar="FILE", help=several)
    parser.add_argument("--policy", type=Path, required=True, metavar="FILE", help="the policy to decide by")
    held = "what users and groups held, as `archive` recorded it: then more can be known"
    parser.add_argument("--archive", type=Path, metavar="PATH", help=held)
    parser.add_argument("--without-group", metavar="KEY", help="as if this group gave nothing")
    parser.add_argument("--json", action="store_true", help="all that was found, for programs")


def _main(arguments: argparse.Namespace) -> int:
    policy = policy_file.load(arguments.policy)
    unreadable = Unreadable()
    logged = decisions(arguments.decisions, unreadable, "replay")
    history = past.load(arguments.archive) if arguments.archive else None
    outcome = replayed(Replay(policy, history, arguments.without_group), logged)
    if not outcome.decisions:
        why = unreadable.told[0] if unreadable.told else "there is no line of type decision"
        raise ConfigurationError([Problem("decisions", f"this is no decision log: {why}")])
    if arguments.json:
        missed = {"lines": unreadable.count, "first": unreadable.told}
        print(json.dumps({**as_dict(outcome, policy.digest), "unreadable": missed}, indent=2))
    else:
        print("\n".join([*worded(outcome, policy.digest), *unreadable.worded()]))
    return 1 if outcome.flips or outcome.unknown or unreadable.count else 0


COMMAND = Command("replay", "tell which logged decisions another policy would change", _add_arguments, _main)
