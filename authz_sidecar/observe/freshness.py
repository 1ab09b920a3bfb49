"""Gauges of freshness and of the signing keys, read when somebody scrapes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from authz_sidecar.core.phases import Phase
from authz_sidecar.core.ports import KeysStatus, ReplicaStatus
from authz_sidecar.observe import families
from authz_sidecar.observe.families import Family


class FreshnessCollector(Collector):
    """Turns a `ReplicaStatus` into gauges. Register it with the metrics' registry."""

    def __init__(self, status: Callable[[], ReplicaStatus]) -> None:
        self._status = status

    def collect(self) -> Iterator[GaugeMetricFamily]:
        status = self._status()
        applied, head, staleness = status.applied, status.head, status.staleness
        yield _gauge(families.APPLIED_REVISION, applied.revision if applied else 0)
        yield _gauge(families.HEAD_REVISION, head or 0)
        yield _gauge(families.STALENESS_SECONDS, math.inf if staleness is None else staleness)
        yield _gauge(families.AUDIT_AGE_SECONDS, math.inf if status.audit_age is None else status.audit_age)
        yield _gauge(families.NEAR_CACHE_ENTRIES, status.near_cache_entries)
        yield _gauge(families.SILENT_SUBSCRIPTION, status.silent_subscription)
        yield _labelled(families.PHASE, {phase.value: phase is status.phase for phase in Phase})
        yield _labelled(families.DEPENDENCY_UP, status.dependencies)


class KeysCollector(Collector):
    """Turns a `KeysStatus` into gauges."""

    def __init__(self, status: Callable[[], KeysStatus]) -> None:
        self._status = status

    def collect(self) -> Iterator[GaugeMetricFamily]:
        status = self._status()
        yield _gauge(families.SIGNING_KEYS, len(status.kids))
        yield _gauge(families.SIGNING_KEYS_AGE, math.inf if status.age is None else status.age)
        yield _gauge(families.SIGNING_KEYS_FAILING, status.failure is not None)


def _gauge(family: Family, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(family.name, family.meaning, value=value)


def _labelled(family: Family, values: Mapping[Any, bool]) -> GaugeMetricFamily:
    made = GaugeMetricFamily(family.name, family.meaning, labels=family.labels)
    for key, value in values.items():
        made.add_metric([str(key)], float(value))
    return made
