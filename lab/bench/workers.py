"""Our own sidecar in its ways of running: two processes beside one, a full log beside a sampled one."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from typing import ClassVar
from urllib.request import urlopen

from lab.bench import host, load
from lab.bench.figures import Bar, Spread
from lab.bench.host import Cores
from lab.bench.peers.sidecar import Cached
from lab.bench.probes import WrongAnswer
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


class Logging(Cached):
    """Tells of every decision, as is the default."""

    name = "full-log"
    title = "one process, full log"
    settings: ClassVar[dict[str, str]] = {"AUTHZ_DECISION_LOG_SAMPLE": "1"}


class Two(Cached):
    name = "two-workers"
    title = "two workers, sampled log"
    settings: ClassVar[dict[str, str]] = {"AUTHZ_WORKERS": "2"}


class One(Cached):
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
    return _result(peers, costs, uneven)


def _cost(peer: Cached, world: World, seconds: float) -> float:
    """Microseconds of CPU a request, of all processes together."""
    cpu = host.cpu_seconds(peer.process)
    result = load.run(peer.address, world.tokens_path, seconds, CONNECTIONS)
    if result.bad_status or result.broken or not result.requests:
        raise WrongAnswer(f"{peer.title}: {result}")
    return (host.cpu_seconds(peer.process) - cpu) / result.requests * 1e6


def _decisions(peer: Cached) -> list[int]:
    """So far, of each worker."""
    with urlopen(f"{peer.sidecar.admin_url}/status", timeout=10) as answer:  # noqa: S310 (ours)
        return [each["decisions"] for each in json.load(answer).get("workers", [])]


def _result(peers: list[Cached], costs: dict[str, list[float]], uneven: list[float]) -> Result:
    def bar(kind: type[Cached], limit: float) -> Bar:
        pairs = zip(costs[kind.name], costs[One.name], strict=True)
        measured = Spread.of([theirs / one for theirs, one in pairs])
        return Bar(
            f"CPU a request: {kind.title} / {One.title}", limit, measured.median, "times", measured.text(2)
        )

    apart = Spread.of(uneven)
    return Result(
        title="Workers",
        bars=[
            bar(Two, TWO_WORKERS),
            bar(Logging, FULL_LOG),
            Bar("a worker's share of requests, beyond a half", SHARE, apart.median, "of all", apart.text(3)),
        ],
        facts={"connections": CONNECTIONS, "rounds": len(uneven)},
        tables=table(
            ("sidecar", "CPU µs/request"),
            [(peer.title, Spread.of(costs[peer.name]).text()) for peer in peers],
        ),
        raw={"costs": costs, "uneven": uneven},
    )
