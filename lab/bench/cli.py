"""Measures the parts that were asked for, and says where the results went."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace

from lab.bench import decision, host, memory, overload, proxies, publish
from lab.bench.plan import QUICK, Plan
from lab.bench.probes import WrongAnswer
from lab.bench.result import Result
from lab.bench.world import World
from lab.stack.process import StackError
from lab.stack.signals import exit_on_sigterm

USERS = 1_000
BY_THEMSELVES = {
    "audit": "audit",
    "bulk": "import",
    "handovers": "handovers",
    "revocation": "revocation",
    "workers": "workers",
}
"""What is asked for by an option of this name, and what its results are called."""
BUSY_SHARE = 0.05
"""More than this, used by others before the bench began, and the figures say more about them."""


def main(arguments: argparse.Namespace) -> int:
    """The exit code: 0 when every bar was met, 1 when not, 2 when a proxy's answers were not right."""
    exit_on_sigterm()
    busy = host.busy_share()
    if busy > BUSY_SHARE:
        _say(f"warning: other programs keep this machine {busy:.0%} busy; figures and spread will show it")
    started = time.monotonic()
    try:
        alone = [name for name in BY_THEMSELVES if getattr(arguments, name)]
        results = _by_itself(alone[0], arguments) if alone else _parts(arguments)
    except (WrongAnswer, StackError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    publish.show(results)
    place = publish.write(results, busy, publish=arguments.publish)
    print(f"Written to {place}, after {time.monotonic() - started:.0f} s.")
    return 0 if all(bar.met for result in results.values() for bar in result.bars) else 1


def _parts(arguments: argparse.Namespace) -> dict[str, Result]:
    plan = QUICK if arguments.quick else Plan()
    if arguments.rounds:
        plan = replace(plan, rounds=arguments.rounds)
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


def _by_itself(name: str, arguments: argparse.Namespace) -> dict[str, Result]:
    """With real servers, and nothing else beside it."""
    from lab.bench import auditing, bulk, handovers, revocation, workers

    parts = {
        "audit": auditing.run,
        "bulk": bulk.run,
        "handovers": handovers.run,
        "revocation": revocation.run,
        "workers": workers.run,
    }
    run = parts[name]
    return {BY_THEMSELVES[name]: run(host.claim_cores(), quick=arguments.quick, progress=_say)}


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)
