"""From samples to figures: medians, their spread, ratios within rounds, and the bars they must meet."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lab.bench.field import DIRECT
from lab.bench.peers.envoy import EnvoyVerifying
from lab.bench.peers.haproxy import HaproxyVerifying
from lab.bench.peers.nginx import Nginx
from lab.bench.peers.sidecar import Asking, Cached, Oracle, Sampled
from lab.bench.rounds import Rounds, Sample


@dataclass(frozen=True)
class Spread:
    """A median over the rounds, with the least and the greatest value."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(statistics.median(values), min(values), max(values))

    def text(self, digits: int = 0) -> str:
        return f"{self.median:,.{digits}f} ({self.low:,.{digits}f} to {self.high:,.{digits}f})"


@dataclass(frozen=True)
class Bar:
    """Something that was promised, and what was measured of it."""

    what: str
    limit: float
    measured: float
    unit: str
    spread: str = ""
    at_least: bool = False
    """Whether the limit is the lower one."""

    @property
    def met(self) -> bool:
        return self.measured >= self.limit if self.at_least else self.measured <= self.limit

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "met": self.met}


def percentile(ordered: Sequence[float], percent: int) -> float:
    """Of values in ascending order: the one below which so many per cent of them lie."""
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


CPU_BARS = (
    (Cached, HaproxyVerifying, 1.0),
    (Cached, EnvoyVerifying, 0.6),
    (Cached, Oracle, 0.25),
    (Sampled, Nginx, 1.8),
    (Sampled, HaproxyVerifying, 0.7),
)
"""The CPU time of a request in ours may be at most so many times that in theirs."""


def ratio(rounds: Rounds, ours: str, theirs: str, of: Callable[[Sample], float]) -> Spread | None:
    """Ours divided by theirs, round by round; `None` when one of them did not take part."""
    if not rounds.get(ours) or not rounds.get(theirs):
        return None
    pairs = zip(rounds[ours], rounds[theirs], strict=True)
    return Spread.of([of(mine) / of(other) for mine, other in pairs])


def added(rounds: Rounds, name: str, rate: str, percentile: int) -> Spread | None:
    """Microseconds more than without a proxy, round by round. `percentile`: 0 is p50, 1 is p99."""
    if rate not in rounds[name][0].paced or rate not in rounds[DIRECT][0].paced:
        return None
    pairs = zip(rounds[name], rounds[DIRECT], strict=True)
    return Spread.of([mine.paced[rate][percentile] - bare.paced[rate][percentile] for mine, bare in pairs])


def bars(rounds: Rounds) -> list[Bar]:
    found = []
    for ours, theirs, limit in CPU_BARS:
        measured = ratio(rounds, ours.name, theirs.name, cpu)
        if measured is not None:
            what = f"CPU a request: {ours.title} / {theirs.title}"
            found.append(Bar(what, limit, measured.median, "times", measured.text(2)))
    if rounds.get(Cached.name):
        calls = max(sample.calls for sample in rounds[Cached.name])
        found.append(Bar("calls to the User service a request, cached", 0, calls, "calls"))
    if rounds.get(Asking.name):
        calls = max(abs(sample.calls - 1) for sample in rounds[Asking.name])
        found.append(Bar("difference from 1 call a request, request-based", 0, calls, "calls"))
    return found


def cpu(sample: Sample) -> float:
    return sample.cpu or 0.0
