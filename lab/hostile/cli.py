"""Lets the hostile clients at a sidecar as asked for, and tells what came of it: docs/hostile.md."""

from __future__ import annotations

import argparse
import sys

from lab.hostile import report
from lab.hostile.kinds import KINDS
from lab.hostile.run import Outcome, Plan, run
from lab.stack.signals import exit_on_sigterm


def main(given: argparse.Namespace) -> int:
    """The exit code: 0 when every bar is kept, 1 when one is missed, 2 when that cannot be asked for."""
    known = {kind.name: kind for kind in KINDS}
    if unknown := set(given.only or ()) - set(known):
        print(f"error: not among {', '.join(known)}: {', '.join(unknown)}", file=sys.stderr)
        return 2
    kinds = [known[name] for name in given.only or known]
    exit_on_sigterm()
    print(report.HEAD)
    outcomes = run(Plan(given.connections, given.rate, given.seconds, kinds), _tell)
    missed = [outcome for outcome in outcomes if outcome.misses()]
    print(f"{len(outcomes) - len(missed)} of {len(outcomes)} waves within every bar")
    return 1 if missed else 0


def _tell(outcome: Outcome) -> None:
    print(report.line(outcome), flush=True)
    if outcome.noticed.failures:
        print(f"    honest clients were answered: {', '.join(sorted(set(outcome.noticed.failures)))}")
