"""The waves, one after the other, and what is demanded of the sidecar meanwhile."""

from __future__ import annotations

import resource
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from lab.bench.host import MIB, memory_bytes
from lab.hostile.clients import Order, Tally
from lab.hostile.honest import Noticed
from lab.hostile.kinds import HARMLESS, IDLE, KINDS, Kind
from lab.hostile.scene import Scene
from lab.stack.process import Process

BUDGET_MIB: Final = 64.0
"""The default of AUTHZ_BUFFER_BUDGET."""
CONNECTION_MIB: Final = 10 / 1024
SECOND_WAVE_MIB: Final = 8.0
MEDIAN_TIMES: Final = 3.0
TAIL_TIMES: Final = 10.0
DEFAULT_CONNECTIONS: Final = 20_000
"""The default of AUTHZ_MAX_CONNECTIONS."""
TOGETHER_PACE: Final = 5.0
IDLE_PACE: Final = 10.0
"""Seconds between two requests of a harmless client, where there are many thousands of them: a load that the
machine can bear, and this program beside it."""
CALM_SECONDS: Final = 0.5
"""Between two waves."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is done; `rate` is of each kind."""

    connections: int = 1000
    rate: float = 200
    seconds: float = 3
    kinds: Sequence[Kind] = KINDS
    apart: bool = True
    """Each kind by itself first, and not only all at once."""


@dataclass(frozen=True, slots=True)
class Wave:
    """Clients who come together, and those without harm whom they are compared with."""

    name: str
    order: Order

    @property
    def connections(self) -> int:
        return self.order.connections * len(self.order.kinds)

    @property
    def harmless(self) -> Order:
        order = self.order
        return Order((HARMLESS.name,), self.connections, order.rate, order.seconds, order.pace)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a wave that came twice."""

    wave: Wave
    tally: Tally
    grown: float
    """MiB at most since before the first wave of all."""
    grown_again: float
    """MiB that the second time added to the most of the first."""
    noticed: Noticed
    calm: Noticed
    """The same among harmless clients."""

    @property
    def bound(self) -> float:
        """MiB"""
        return BUDGET_MIB + CONNECTION_MIB * self.wave.connections

    @property
    def median(self) -> float:
        """Times that among harmless clients."""
        return self.noticed.quantile(0.5) / self.calm.quantile(0.5)

    @property
    def tail(self) -> float:
        """The 99th percentile, likewise."""
        return self.noticed.quantile(0.99) / self.calm.quantile(0.99)

    def misses(self, *, timed: bool = True) -> list[str]:
        """The bars that are missed; `timed`: those of time, too."""
        bars = {
            "memory": self.grown <= self.bound,
            "second wave": self.grown_again <= SECOND_WAVE_MIB,
            "honest clients": not self.noticed.failures and bool(self.noticed.seconds),
            "/livez": not self.noticed.dead and bool(self.noticed.lives),
            "median": not timed or self.median <= MEDIAN_TIMES,
            "p99": not timed or self.tail <= TAIL_TIMES,
        }
        return [name for name, kept in bars.items() if not kept]


class Watch:
    """Samples the memory of programs, in MiB for all of them, while it is entered."""

    def __init__(self, processes: Sequence[Process]) -> None:
        self._processes = processes
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self.most = 0.0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def _sample(self) -> None:
        while True:
            self.most = max(self.most, sum(map(memory_bytes, self._processes)) / MIB)
            if self._done.wait(0.2):
                return


def run(plan: Plan, told: Callable[[Outcome], object]) -> list[Outcome]:
    """All waves of the plan; each outcome is `told` as soon as there is one."""
    outcomes, most = [], _most_connections()
    calm: dict[Order, Noticed] = {}
    with Scene(most) as scene:
        _attack(scene, Order((HARMLESS.name,), plan.connections, plan.rate, plan.seconds))
        before = sum(map(memory_bytes, scene.processes)) / MIB
        for wave in waves(plan, most):
            if wave.harmless not in calm:
                calm[wave.harmless] = _attack(scene, wave.harmless)[1]
            tally, noticed, first = _attack(scene, wave.order)
            _, again, second = _attack(scene, wave.order)
            both = Noticed(
                noticed.seconds + again.seconds,
                noticed.failures + again.failures,
                noticed.lives + again.lives,
                noticed.dead + again.dead,
            )
            outcomes.append(
                Outcome(wave, tally, max(first, second) - before, second - first, both, calm[wave.harmless])
            )
            told(outcomes[-1])
    return outcomes


def waves(plan: Plan, most: int) -> Iterator[Wave]:
    """Each kind, all kinds at once, and as many idle clients as are let in (of few: ten times as many)."""
    for kind in plan.kinds if plan.apart else ():
        yield Wave(kind.name, Order((kind.name,), plan.connections, plan.rate, plan.seconds))
    names = tuple(kind.name for kind in plan.kinds)
    together = min(plan.connections, (_descriptors() - 500) // len(names))
    yield Wave("all at once", Order(names, together, plan.rate * 2, plan.seconds, pace=TOGETHER_PACE))
    idle = most if plan.connections * 10 >= most else plan.connections * 10
    order = Order((IDLE.name,), idle, plan.rate * 2, plan.seconds, pace=IDLE_PACE)
    yield Wave("idle, as many as are let in", order)


def _attack(scene: Scene, order: Order) -> tuple[Tally, Noticed, float]:
    with scene.honest() as noticed, Watch(scene.processes) as watch:
        tally = scene.attack(order)
    time.sleep(CALM_SECONDS)
    return tally, noticed, watch.most


def _descriptors() -> int:
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def _most_connections() -> int:
    """AUTHZ_MAX_CONNECTIONS, as far as this machine's descriptors let a sidecar have them."""
    return min(DEFAULT_CONNECTIONS, (_descriptors() - 100) // 2)
