"""The command line: which parts to measure, for how long, and where the results go."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from lab.bench import decision, host, memory, overload, proxies, publish
from lab.bench.probes import WrongAnswer
from lab.bench.result import Result
from lab.bench.rounds import Plan
from lab.bench.world import World
from lab.stack.process import StackError
from lab.stack.signals import exit_on_sigterm

PARTS = ("proxies", "decision", "memory", "overload")
USERS = 1_000
BUSY_SHARE = 0.05
"""More than this, used by others before the bench began, and the figures say more about them."""
QUICK = Plan(rounds=1, load_seconds=1, paced_seconds=0.5, fast_rate=200, slow_rate=20)


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code: 0 when every bar was met, 1 when not, 2 when a proxy's answers were not right."""
    arguments = _parser().parse_args(argv)
    exit_on_sigterm()
    busy = host.busy_share()
    if busy > BUSY_SHARE:
        _say(f"warning: other programs keep this machine {busy:.0%} busy; figures and spread will show it")
    started = time.monotonic()
    try:
        results = _by_itself(arguments) if arguments.revocation or arguments.bulk else _parts(arguments)
    except (WrongAnswer, StackError) as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 2
    publish.show(results)
    place = publish.write(results, busy, publish=arguments.publish)
    print(f"Written to {place}, after {time.monotonic() - started:.0f} s.")
    return 0 if all(bar.met for result in results.values() for bar in result.bars) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description="Measures the sidecar side by side with what people use instead."
    )
    parser.add_argument(
        "--quick", action="store_true", help="seconds instead of minutes; the figures mean little"
    )
    parser.add_argument("--only", choices=PARTS, nargs="+", default=PARTS, help="these parts only")
    parser.add_argument("--peers", nargs="+", default=(), metavar="NAME", help="these proxies only")
    parser.add_argument("--rounds", type=int, default=None, help=f"rounds of the proxies ({Plan.rounds})")
    parser.add_argument("--embedded", action="store_true", help="SQLite, no broker, no Redis")
    parser.add_argument(
        "--revocation", action="store_true", help="how fast a revocation takes effect, instead"
    )
    parser.add_argument(
        "--import", action="store_true", dest="bulk", help="what a large import does to revocations, instead"
    )
    parser.add_argument(
        "--publish", action="store_true", help="write docs/benchmarks.md, its chart and lab/bench/results"
    )
    return parser


def _parts(arguments: argparse.Namespace) -> dict[str, Result]:
    plan = QUICK if arguments.quick else Plan()
    if arguments.rounds:
        plan = Plan(arguments.rounds, plan.load_seconds, plan.paced_seconds, plan.fast_rate, plan.slow_rate)
    cores, only, quick = host.claim_cores(), arguments.only, arguments.quick
    results: dict[str, Result] = {}
    if "decision" in only:
        results["decision"] = decision.run(cores, quick=quick)
    if set(only) == {"decision"}:
        return results
    embedded = quick or arguments.embedded
    with World(cores, users=USERS, embedded=embedded, starting=_say) as world:
        if "memory" in only:
            results["memory"] = memory.run(world, quick=quick)
        if "overload" in only:
            results["overload"] = overload.run(world, quick=quick)
        if "proxies" in only:
            results["proxies"] = proxies.run(world, plan, arguments.peers, _say)
    return results


def _by_itself(arguments: argparse.Namespace) -> dict[str, Result]:
    """With real servers, and nothing else beside it."""
    from lab.bench import bulk, revocation

    name, part = ("import", bulk.run) if arguments.bulk else ("revocation", revocation.run)
    return {name: part(host.claim_cores(), quick=arguments.quick, progress=_say)}


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)
