"""What is in force, as metrics whose labels say it: the value is always 1."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from authz_sidecar.observe import families
from authz_sidecar.observe.families import Family


class FactsCollector(Collector):
    """Build, mode and policy. `policy` is asked for its digest whenever somebody scrapes."""

    def __init__(
        self, *, version: str, compiled: bool, mode: str, validation: str, policy: Callable[[], str]
    ) -> None:
        built = {
            "version": version,
            "compiled": str(compiled).lower(),
            "python": platform.python_version(),
        }
        self._fixed = (
            (families.BUILD_INFO, built),
            (families.MODE_INFO, {"mode": mode, "validation": validation}),
        )
        self._policy = policy

    def collect(self) -> Iterator[GaugeMetricFamily]:
        for family, labels in (*self._fixed, (families.POLICY_INFO, {"policy": self._policy()})):
            yield _always_one(family, labels)


def _always_one(family: Family, labels: Mapping[str, str]) -> GaugeMetricFamily:
    found = GaugeMetricFamily(family.name, family.meaning, labels=family.labels)
    found.add_metric([labels[name] for name in family.labels], 1)
    return found
