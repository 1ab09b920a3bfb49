"""What every request counts, without locks: only the event loop counts and scrapes.

The client library's own counters take a lock, look their labels up and check them on each call: more
than the decision they would count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from typing import Any

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar
from prometheus_client.utils import floatToGoString

from authz_sidecar.observe.families import Family

Trace = tuple[str, float]
"""Of a value: its trace, and the value."""


class Cell:
    """One count."""

    def __init__(self) -> None:
        self.count = 0


class Tally(Collector):
    """A counter; each different tuple of label values has a cell of its own.

    `expected` ones are exported as 0 before their first event: a rate needs a value to rise from.
    """

    def __init__(self, family: Family, expected: Iterable[tuple[str, ...]] = ()) -> None:
        self._cells: dict[tuple[str, ...], Cell] = {each: Cell() for each in expected}
        self._elsewhere: Counter[tuple[str, ...]] = Counter()
        """What other processes have counted."""
        self._family = family

    def cell(self, values: tuple[str, ...]) -> Cell:
        """Whoever counts often keeps it."""
        found = self._cells.get(values)
        if found is None:
            found = self._cells[values] = Cell()
        return found

    @property
    def totals(self) -> Counter[tuple[str, ...]]:
        """What is exported."""
        found = Counter({values: cell.count for values, cell in self._cells.items()})
        found.update(self._elsewhere)
        return found

    def counted(self) -> list[Any]:
        """Plain values for `add` and `show`."""
        return [[*values, cell.count] for values, cell in self._cells.items()]

    def add(self, counted: list[Any]) -> None:
        """Go on from what another has counted."""
        for *values, count in counted:
            self.cell(tuple(values)).count += count

    def show(self, counted: Iterable[list[Any]]) -> None:
        """Export what these others have counted, too."""
        self._elsewhere.clear()
        for one in counted:
            for *values, count in one:
                self._elsewhere[tuple(values)] += count

    def collect(self) -> Iterator[CounterMetricFamily]:
        family = CounterMetricFamily(self._family.name, self._family.meaning, labels=self._family.labels)
        for values, count in self.totals.items():
            family.add_metric(values, count)
        yield family


class Reading(Collector):
    """A counter that is kept elsewhere, read when somebody scrapes."""

    def __init__(self, family: Family, read: Callable[[], int]) -> None:
        self._family = family
        self._read = read

    def collect(self) -> Iterator[CounterMetricFamily]:
        yield CounterMetricFamily(self._family.name, self._family.meaning, value=self._read())


class Distribution(Collector):
    """A histogram."""

    def __init__(self, family: Family) -> None:
        self._family = family
        self._bounds = family.buckets
        self._counts = [0] * (len(family.buckets) + 1)
        self._sum = 0.0
        self._elsewhere: list[float] = [0.0] * (len(family.buckets) + 2)
        """What other processes have counted, and the sum."""
        self._traces: list[Trace | None] = [None] * len(self._counts)
        """By bucket: the latest value that a trace tells of."""
        self._traces_elsewhere: list[Trace | None] = [None] * len(self._counts)

    def observe(self, value: float, trace_id: str = "") -> None:
        """`trace_id`: of the trace that shows how it came to this value."""
        place = 0
        for bound in self._bounds:  # compiled, and most values being small: cheaper than a call of bisect
            if value <= bound:
                break
            place += 1
        self._counts[place] += 1
        self._sum += value
        if trace_id:
            self._traces[place] = (trace_id, value)

    def counted(self) -> list[Any]:
        """Plain values for `add` and `show`."""
        return [*self._counts, self._sum, self._traces]

    def add(self, counted: list[Any]) -> None:
        """Go on from what another has counted."""
        *counts, total, _ = counted
        self._counts = [ours + theirs for ours, theirs in zip(self._counts, counts, strict=True)]
        self._sum += total

    def show(self, counted: Iterable[list[Any]]) -> None:
        """Export what these others have counted, too."""
        others = list(counted)
        numbers = [one[:-1] for one in others]
        self._elsewhere = [sum(values) for values in zip([0.0] * len(self._elsewhere), *numbers, strict=True)]
        self._traces_elsewhere = [None] * len(self._counts)
        for one in others:
            for place, trace in enumerate(one[-1]):
                self._traces_elsewhere[place] = tuple(trace) if trace else self._traces_elsewhere[place]

    def _totals(self) -> tuple[list[float], float]:
        *counts, total = self._elsewhere
        return [ours + theirs for ours, theirs in zip(self._counts, counts, strict=True)], self._sum + total

    def _latest(self) -> list[Trace | None]:
        return [ours or theirs for ours, theirs in zip(self._traces, self._traces_elsewhere, strict=True)]

    def quantile(self, share: float) -> float | None:
        """The bound of the bucket that this share of all values lies within; `None` without values.

        Past the largest bound that one is given, though it may have been more.
        """
        counts, _ = self._totals()
        total = sum(counts)
        if not total:
            return None
        reached = 0.0
        for bound, count in zip(self._bounds, counts, strict=False):
            reached += count
            if reached >= share * total:
                return bound
        return self._bounds[-1]

    def collect(self) -> Iterator[HistogramMetricFamily]:
        bounds = [*map(floatToGoString, self._bounds), "+Inf"]
        counts, total = self._totals()
        buckets = [
            (bound, count) if trace is None else (bound, count, Exemplar({"trace_id": trace[0]}, trace[1]))
            for bound, count, trace in zip(
                bounds, accumulate(map(float, counts)), self._latest(), strict=True
            )
        ]
        yield HistogramMetricFamily(self._family.name, self._family.meaning, buckets=buckets, sum_value=total)
