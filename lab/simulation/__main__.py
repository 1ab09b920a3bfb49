"""The simulator's command line. See docs/simulation.md.

scripts/simulate --minutes 5          seeds, for as long as that
scripts/simulate --seed 7             one seed: what came of it; a failing one is shrunk and told
scripts/simulate --seed 7 --trace     everything that happens in it
scripts/simulate --mutants            the sidecar broken on purpose, one rule at a time
scripts/simulate --fleet 1000         what a start, a change and an outage cost with so many sidecars
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

SHRUNK = 3
"""Failing seeds that are shrunk and told; the rest are listed."""


def main(arguments: Sequence[str]) -> int:
    options = _options(arguments)
    if os.environ.get("PYTHONHASHSEED") != "0":
        # The order of sets is a source of randomness, too.
        environment = {**os.environ, "PYTHONHASHSEED": "0"}
        os.execve(sys.executable, [sys.executable, "-P", "-m", "lab.simulation", *arguments], environment)  # noqa: S606 (it is ourselves)
    if options.mutants is not None:
        from lab.simulation.mutants import trial  # as below

        return 1 if trial.main(options.mutants) else 0
    if options.fleet:
        from lab.simulation import fleet  # as below

        return fleet.main(options.fleet)
    if options.until_caught:
        return _until_caught(options.first, options.seeds or 1)
    if options.seed is not None:
        return _one(options.seed, trace=options.trace, whole=options.whole)
    return _many(options)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/simulate", description=__doc__, add_help=True)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--minutes", type=float, default=5.0, help="how long (5)")
    parser.add_argument("--seeds", type=int, help="at most so many seeds")
    parser.add_argument("--first", type=int, default=0, help="the first seed (0)")
    parser.add_argument("--processes", type=int, default=2, help="at once (2)")
    parser.add_argument("--seed", type=int, help="this one only")
    parser.add_argument("--trace", action="store_true", help="with --seed: print everything that happens")
    parser.add_argument("--mutants", nargs="*", metavar="NAME", help="try these, or all")
    parser.add_argument("--fleet", type=int, metavar="SIDECARS", help="what events cost a fleet of so many")
    parser.add_argument("--until-caught", action="store_true", help="stop at the first failing seed")
    parser.add_argument("--whole", action="store_true", help="with --seed: tell it without shrinking it")
    return parser.parse_args(arguments)


def _one(seed: int, *, trace: bool, whole: bool) -> int:
    from lab.simulation import story  # so that --help answers at once
    from lab.simulation.run import plan_of, run

    plan = plan_of(seed)
    if trace:
        print("\n".join(story.trace(plan)))
        return 0
    outcome = run(plan)
    print(f"seed {seed}: {outcome.decisions} decisions, {outcome.faults.total()} faults, {outcome.digest}")
    if not outcome.violations:
        return 0
    if not whole:
        from lab.simulation.shrink import Shrinker

        plan = Shrinker(outcome).shrink().plan
    print("\n".join(story.tell(plan)))
    return 1


def _until_caught(first: int, seeds: int) -> int:
    from lab.simulation.run import plan_of, run

    for seed in range(first, first + seeds):
        violations = run(plan_of(seed)).violations
        if violations:
            print(f"seed {seed}: {violations[0]}")
            return 1
    return 0


def _many(options: argparse.Namespace) -> int:
    from lab.simulation.campaign import Campaign
    from lab.simulation.run import Outcome

    def heard(outcome: Outcome) -> None:
        if outcome.violations:
            print(f"seed {outcome.plan.seed}: {outcome.violations[0]}", flush=True)

    campaign = Campaign(options.first, options.processes, heard)
    total = campaign.run(options.minutes * 60, options.seeds)
    print("\n".join(total.lines()))
    for kind, count in sorted(total.faults.items()):
        print(f"  {kind:<32}{count:>7}")
    for outcome in total.failing[:SHRUNK]:
        _one(outcome.plan.seed, trace=False, whole=False)
    return 1 if total.failing or total.unrepeatable else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
