"""Interleaved rounds: in each, every contender is measured once, so that ratios are of one moment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from lab.bench import field as contenders
from lab.bench import host, load, pace
from lab.bench.field import Contender
from lab.bench.peers.base import Work
from lab.bench.plan import Plan
from lab.bench.probes import WrongAnswer
from lab.bench.upstream import STATUS
from lab.bench.world import World
from lab.stack.process import wait_for

DECISION_CALLS = ("/authz/v1/check", "/authz/v1/subjects/")
WARM_SECONDS = 1.0
WARM_SECONDS_ASKING = 5.0
"""Those who ask answer slowly, and every token is to be known before it is measured."""


@dataclass
class Sample:
    """One contender in one round. Times in microseconds, memory in bytes."""

    cpu: float | None
    """Of the proxy, a request, at saturation."""
    user_service_cpu: float
    rate: float
    """Requests a second at saturation with `load.CONNECTIONS` connections."""
    p50: float
    p99: float
    memory: int | None
    calls: float
    """To the User service on account of a request."""
    paced: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Median and 99th percentile by rate."""
    stolen: float = 0.0
    """Share of the time that the hypervisor took away while this was measured."""


Rounds = dict[str, list[Sample]]


def run(world: World, field_: Sequence[Contender], plan: Plan, progress: Callable[[str], object]) -> Rounds:
    """Raises WrongAnswer, and prints nothing of what was measured, when any answer was not right."""
    for contender in field_:
        seconds = WARM_SECONDS_ASKING if contender.work is Work.ASKS else WARM_SECONDS
        load.run(contender.address, world.tokens_path, seconds)
        _settle(contender, world)
    rounds: Rounds = {contender.name: [] for contender in field_}
    for number in range(plan.rounds):
        progress(f"round {number + 1} of {plan.rounds}")
        shift = number * 5 % len(field_)  # who comes after whom differs from round to round
        for contender in [*field_[shift:], *field_[:shift]]:
            rounds[contender.name].append(_measure(contender, world, plan))
            contenders.probe(contender, world)
    return rounds


def rates(plan: Plan, contender: Contender) -> list[float]:
    """Requests a second. Ours and the way without a proxy are compared with both kinds of peers."""
    if contender.work is Work.ASKS:
        return [plan.slow_rate]
    both = contender.work is Work.DECIDES or contender.process is None
    return [plan.fast_rate, plan.slow_rate] if both else [plan.fast_rate]


def as_json(rounds: Rounds) -> dict[str, list[dict[str, Any]]]:
    return {name: [asdict(sample) for sample in samples] for name, samples in rounds.items()}


def _measure(contender: Contender, world: World, plan: Plan) -> Sample:
    requests, calls = 0, _decision_calls(world)
    paced = {}
    for rate in rates(plan, contender):
        result = _paced(contender, world, rate, plan.paced_seconds)
        paced[f"{rate:g}"] = (result.p50 * 1e6, result.p99 * 1e6)
        requests += len(result.latencies)
    calls = _settle(contender, world) - calls
    sample = _saturated(contender, world, plan.load_seconds)
    sample.paced, sample.calls = paced, calls / requests
    _settle(contender, world)
    return sample


def _paced(contender: Contender, world: World, rate: float, seconds: float) -> pace.Paced:
    host_, _, port = contender.address.partition(":")
    messages = pace.messages(contender.address, world.tokens.allowed)
    result = pace.run((host_, int(port)), messages, rate, seconds)
    if set(result.statuses) != {STATUS}:
        raise WrongAnswer(f"{contender.title} answered {dict(result.statuses)} at {rate:g} requests/s")
    return result


def _saturated(contender: Contender, world: World, seconds: float) -> Sample:
    process, service = contender.process, world.user_service.process
    reached, stolen = world.echo.requests(), host.stolen_seconds()
    cpu = host.cpu_seconds(process) if process else 0.0
    service_cpu = host.cpu_seconds(service)
    result = load.run(contender.address, world.tokens_path, seconds)
    cpu = host.cpu_seconds(process) - cpu if process else 0.0
    service_cpu = host.cpu_seconds(service) - service_cpu
    stolen = host.stolen_seconds() - stolen
    _check(contender, result, world.echo.settled(reached + result.requests) - reached)
    return Sample(
        cpu=cpu / result.requests * 1e6 if process else None,
        user_service_cpu=service_cpu / result.requests * 1e6,
        rate=result.rate,
        p50=result.p50 * 1e6,
        p99=result.p99 * 1e6,
        memory=host.memory_bytes(process) if process else None,
        calls=0.0,
        stolen=stolen / result.seconds / 2,
    )


def _check(contender: Contender, result: load.Load, reached: int) -> None:
    """Every answer was the upstream's: it saw all that were answered, and what was still under way."""
    if result.bad_status or result.broken or not result.requests:
        raise WrongAnswer(f"{contender.title}: {result}")
    if not result.requests <= reached <= result.requests + load.CONNECTIONS:
        raise WrongAnswer(f"{contender.title}: {result.requests} answered, {reached} reached the upstream")


def _decision_calls(world: World) -> int:
    """What the User service was asked on account of requests; the background's calls are not counted."""
    answered = world.user_service.requests()
    return sum(count for (_, path), count in answered.items() if path.startswith(DECISION_CALLS))


def _settle(contender: Contender, world: World) -> int:
    """The decision calls so far, once those that a finished load left behind are done."""
    if contender.work is not Work.ASKS:
        return _decision_calls(world)
    seen = [-1]

    def quiet() -> bool:
        seen.append(_decision_calls(world))
        return seen[-1] == seen[-2]

    wait_for(quiet, 30, "the User service to become idle", pause=0.25)
    return seen[-1]
