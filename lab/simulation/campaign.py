"""Many seeds in several processes, for as long as wanted."""

from __future__ import annotations

import itertools
import multiprocessing
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field

from lab.simulation.run import Outcome, plan_of, run

REPEATED = 10
"""Every so-manieth seed is run again in another process."""


@dataclass(slots=True)
class Total:
    """What all seeds came to."""

    seeds: int = 0
    repeated: int = 0
    decisions: int = 0
    waited: int = 0
    sidecar_seconds: float = 0.0
    oldest: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    failing: list[Outcome] = field(default_factory=list)
    unrepeatable: list[int] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        self.seeds += 1
        self.decisions += outcome.decisions
        self.waited += outcome.waited
        self.sidecar_seconds += outcome.sidecar_seconds
        self.oldest = max(self.oldest, outcome.oldest)
        self.faults += outcome.faults
        self.codes += outcome.codes
        if outcome.violations:
            self.failing.append(outcome)

    def lines(self) -> list[str]:
        share = self.waited / max(1, self.decisions)
        return [
            f"{self.seeds} seeds, {self.repeated} of them twice",
            f"{self.decisions:,} decisions, {share:.0%} of them after a miss or a wait",
            f"{self.faults.total():,} faults of {len(self.faults)} kinds",
            f"{self.sidecar_seconds / 86_400:.2f} days of sidecars",
            f"oldest permissions decided by: {self.oldest:.2f} s",
            f"{len(self.failing)} seeds with violations, {len(self.unrepeatable)} that did not repeat",
        ]


def one(seed: int) -> Outcome:
    return run(plan_of(seed))


class Campaign:
    """`first`: the first seed. `heard`: called with each outcome."""

    def __init__(self, first: int, processes: int, heard: Callable[[Outcome], object]) -> None:
        context = multiprocessing.get_context("spawn")
        self._pools = [ProcessPoolExecutor(1, context) for _ in range(processes)]
        self._seeds = itertools.count(first)
        self._heard = heard
        self._again: list[tuple[int, int]] = []
        self._digests: dict[int, str] = {}
        self.total = Total()

    def run(self, seconds: float, seeds: int | None = None) -> Total:
        """Until so much time has passed, or so many seeds were run."""
        ends = time.monotonic() + seconds
        running: dict[Future[Outcome], tuple[int, bool, int]] = {}
        left = itertools.count() if seeds is None else iter(range(seeds))
        for index in range(len(self._pools)):
            self._submit(index, running, left)
        while running:
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                seed, repeat, index = running.pop(future)
                self._take(seed, future.result(), repeat=repeat, index=index)
                if time.monotonic() < ends:
                    self._submit(index, running, left)
        for pool in self._pools:
            pool.shutdown()
        return self.total

    def _submit(
        self, index: int, running: dict[Future[Outcome], tuple[int, bool, int]], left: Iterator[int]
    ) -> None:
        for entry in self._again:
            if entry[1] != index or len(self._pools) == 1:
                self._again.remove(entry)
                running[self._pools[index].submit(one, entry[0])] = entry[0], True, index
                return
        if next(left, None) is not None:
            seed = next(self._seeds)
            running[self._pools[index].submit(one, seed)] = seed, False, index

    def _take(self, seed: int, outcome: Outcome, *, repeat: bool, index: int) -> None:
        if repeat:
            self.total.repeated += 1
            if self._digests.pop(seed) != outcome.digest:
                self.total.unrepeatable.append(seed)
            return
        self.total.add(outcome)
        self._heard(outcome)
        if seed % REPEATED == 0:
            self._digests[seed] = outcome.digest
            self._again.append((seed, index))
