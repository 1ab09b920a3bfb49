"""Gauges of freshness, read from the replica when somebody scrapes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from authz_sidecar.core.phases import Phase
from authz_sidecar.core.ports import ReplicaStatus


class FreshnessCollector(Collector):
    """Turns a `ReplicaStatus` into gauges. Register it with the metrics' registry."""

    def __init__(self, status: Callable[[], ReplicaStatus]) -> None:
        self._status = status

    def collect(self) -> Iterator[GaugeMetricFamily]:
        status = self._status()
        applied, head, staleness = status.applied, status.head, status.staleness
        yield _gauge(
            "applied_revision", "The newest revision decided by.", applied.revision if applied else 0
        )
        yield _gauge("head_revision", "The newest revision known of at the User service.", head or 0)
        yield _gauge(
            "staleness_seconds",
            "Age of the newest valid proof of freshness.",
            math.inf if staleness is None else staleness,
        )
        yield _gauge("near_cache_entries", "Entities held in this process.", status.near_cache_entries)
        yield _labelled(
            "phase",
            "1 for the phase the replica is in.",
            "phase",
            {phase.value: phase is status.phase for phase in Phase},
        )
        yield _labelled("dependency_up", "1 while a dependency answers.", "name", status.dependencies)


def _gauge(name: str, documentation: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"authz_{name}", documentation, value=value)


def _labelled(name: str, documentation: str, label: str, values: Mapping[Any, bool]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"authz_{name}", documentation, labels=[label])
    for key, value in values.items():
        family.add_metric([str(key)], float(value))
    return family
