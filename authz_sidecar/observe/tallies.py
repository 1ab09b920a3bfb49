"""What every request counts, without locks: only the event loop counts and scrapes.

The client library's own counters take a lock, look their labels up and check them on each call: more
than the decision they would count.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from typing import Any

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from authz_sidecar.observe.families import Family


class Tally(Collector):
    """A counter; each different tuple of label values is counted by itself.

    `expected` ones are exported as 0 before their first event: a rate needs a value to rise from.
    """

    def __init__(self, family: Family, expected: Iterable[tuple[str, ...]] = ()) -> None:
        self.counts: Counter[tuple[str, ...]] = Counter(dict.fromkeys(expected, 0))
        self._elsewhere: Counter[tuple[str, ...]] = Counter()
        """What other processes have counted."""
        self._family = family

    @property
    def totals(self) -> Counter[tuple[str, ...]]:
        """What is exported."""
        found = self.counts.copy()
        found.update(self._elsewhere)
        return found

    def counted(self) -> list[Any]:
        """Plain values for `add` and `show`."""
        return [[*values, count] for values, count in self.counts.items()]

    def add(self, counted: list[Any]) -> None:
        """Go on from what another has counted."""
        for *values, count in counted:
            self.counts[tuple(values)] += count

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

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def counted(self) -> list[Any]:
        """Plain values for `add` and `show`."""
        return [*self._counts, self._sum]

    def add(self, counted: list[Any]) -> None:
        """Go on from what another has counted."""
        *counts, total = counted
        self._counts = [ours + theirs for ours, theirs in zip(self._counts, counts, strict=True)]
        self._sum += total

    def show(self, counted: Iterable[list[Any]]) -> None:
        """Export what these others have counted, too."""
        self._elsewhere = [sum(values) for values in zip([0.0] * len(self._elsewhere), *counted, strict=True)]

    def _totals(self) -> tuple[list[float], float]:
        *counts, total = self._elsewhere
        return [ours + theirs for ours, theirs in zip(self._counts, counts, strict=True)], self._sum + total

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
        buckets = list(zip(bounds, accumulate(map(float, counts)), strict=True))
        yield HistogramMetricFamily(self._family.name, self._family.meaning, buckets=buckets, sum_value=total)
