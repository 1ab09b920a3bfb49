"""Our own sidecar in its ways of running: two processes beside one, a full log beside a sampled one."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any, ClassVar
from urllib.request import urlopen

from lab.bench import host, load, quota
from lab.bench.figures import Bar, Spread
from lab.bench.host import Cores
from lab.bench.load import Load
from lab.bench.peers.sidecar import Cached, Sampled
from lab.bench.probes import WrongAnswer
from lab.bench.quota import NoControlGroups
from lab.bench.report import table
from lab.bench.result import Result
from lab.bench.world import World

CONNECTIONS = 512
ROUNDS, SECONDS = 9, 3.0
QUICK_ROUNDS, QUICK_SECONDS = 1, 1.0
WARM_SECONDS = 2.0
USERS = 1_000
TWO_WORKERS, FULL_LOG, SHARE = 1.05, 1.15, 0.05
"""Times the CPU of one process, of a sampled log; and how far from half of the requests a worker may be."""
CARRIED = "throughput of two workers / one process, each held to a quarter of a core"
QUARTER_CONNECTIONS = 64
"""So many can wait to be accepted: more, at once, would try again after a second."""
QUARTER, THROUGHPUT = 0.25, 1.8
"""Of a core, for each process that serves; and how much more two of them must carry then than one."""


class Logging(Cached):
    name = "full-log"
    title = "one process, full log"


class Two(Sampled):
    name = "two-workers"
    title = "two workers, sampled log"
    settings: ClassVar[Mapping[str, str]] = {**Sampled.settings, "AUTHZ_WORKERS": "2"}


class One(Sampled):
    name = "one-process"
    title = "one process, sampled log"


def run(cores: Cores, *, quick: bool, progress: Callable[[str], object]) -> Result:
    """Raises WrongAnswer."""
    rounds, seconds = (QUICK_ROUNDS, QUICK_SECONDS) if quick else (ROUNDS, SECONDS)
    costs: dict[str, list[float]] = defaultdict(list)
    uneven: list[float] = []
    with World(cores, users=USERS, embedded=True, starting=progress) as world:
        peers: list[Cached] = [
            world.enter(kind(world.site, world.user_service, world.sidecar_env))
            for kind in (One, Two, Logging)
        ]
        for peer in peers:
            load.run(peer.address, world.tokens_path, WARM_SECONDS, CONNECTIONS)
        for number in range(rounds):
            progress(f"round {number + 1} of {rounds}")
            for peer in peers[number % 3 :] + peers[: number % 3]:
                before = _decisions(peer)
                costs[peer.name].append(_cost(peer, world, seconds))
                if isinstance(peer, Two):
                    made = [after - each for after, each in zip(_decisions(peer), before, strict=True)]
                    uneven.append(max(made) / sum(made) - 0.5)
        progress("each process held to a quarter of a core")
        quarters = _quarters(peers[0], peers[1], world, rounds, seconds)
    return _result(peers, costs, uneven, quarters)


def _quarters(one: Cached, two: Cached, world: World, rounds: int, seconds: float) -> list[float] | str:
    """The throughput of two, in those of one; or why processes cannot be held here."""
    try:
        with ExitStack() as held:
            for pid in [one.process.pid, *(each["pid"] for each in _workers(two))]:
                held.enter_context(quota.held(pid, QUARTER))
            return [_load(two, world, seconds).rate / _load(one, world, seconds).rate for _ in range(rounds)]
    except NoControlGroups as error:
        return str(error)


def _cost(peer: Cached, world: World, seconds: float) -> float:
    """Microseconds of CPU a request, of all processes together."""
    cpu = host.cpu_seconds(peer.process)
    result = _load(peer, world, seconds)
    return (host.cpu_seconds(peer.process) - cpu) / result.requests * 1e6


def _rate(peer: Cached, world: World, seconds: float) -> float:
    return _load(peer, world, seconds, QUARTER_CONNECTIONS).rate


def _load(peer: Cached, world: World, seconds: float, connections: int = CONNECTIONS) -> Load:
    result = load.run(peer.address, world.tokens_path, seconds, connections)
    if result.bad_status or result.broken or not result.requests:
        raise WrongAnswer(f"{peer.title}: {result}")
    return result


def _decisions(peer: Cached) -> list[int]:
    """So far, of each worker."""
    return [each["decisions"] for each in _workers(peer)]


def _workers(peer: Cached) -> list[dict[str, Any]]:
    with urlopen(f"{peer.sidecar.admin_url}/status", timeout=10) as answer:  # noqa: S310 (ours)
        return list(json.load(answer).get("workers", []))


def _result(
    peers: list[Cached], costs: dict[str, list[float]], uneven: list[float], quarters: list[float] | str
) -> Result:
    """`quarters`: what two carry, in those of one, or why nobody knows."""

    def bar(kind: type[Cached], limit: float) -> Bar:
        pairs = zip(costs[kind.name], costs[One.name], strict=True)
        measured = Spread.of([theirs / one for theirs, one in pairs])
        return Bar(
            f"CPU a request: {kind.title} / {One.title}", limit, measured.median, "times", measured.text(2)
        )

    apart = Spread.of(uneven)
    bars = [
        bar(Two, TWO_WORKERS),
        bar(Logging, FULL_LOG),
        Bar("a worker's share of requests, beyond a half", SHARE, apart.median, "of all", apart.text(3)),
    ]
    facts: dict[str, Any] = {"connections": CONNECTIONS, "rounds": len(uneven)}
    if isinstance(quarters, str):
        facts[f"not measured: {CARRIED}"] = quarters
    else:
        carried = Spread.of(quarters)
        bars.append(Bar(CARRIED, THROUGHPUT, carried.median, "times", carried.text(2), at_least=True))
    rows = [(peer.title, Spread.of(costs[peer.name]).text()) for peer in peers]
    return Result(
        title="Workers",
        bars=bars,
        facts=facts,
        tables=table(("sidecar", "CPU µs/request"), rows),
        raw={"costs": costs, "uneven": uneven, "quarters": quarters},
    )
