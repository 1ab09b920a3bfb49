"""The hooks that the request path and the replica call, turned into metrics and log lines."""

from __future__ import annotations

import logging

from authz_sidecar.core.events import Dependency
from authz_sidecar.core.types import Decision, Position
from authz_sidecar.observe.decision_log import DecisionLog
from authz_sidecar.observe.metrics import Metrics

logger = logging.getLogger("authz.replica")


class RequestHooks:
    """Implements `core.types.RequestObserver`."""

    def __init__(self, metrics: Metrics, decision_log: DecisionLog) -> None:
        self._metrics = metrics
        self._decision_log = decision_log

    def decided(self, decision: Decision, seconds: float) -> None:
        self._metrics.decided(decision, seconds)
        self._decision_log.record(decision)

    def answered(self, _decision: Decision, status: int, seconds: float) -> None:
        self._metrics.answered(status, seconds)


class ReplicaHooks:
    """Implements `core.events.ReplicaObserver`."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def applied(self, _position: Position, propagation: float | None) -> None:
        if propagation is not None:
            self._metrics.propagation.observe(propagation)

    def duplicate(self) -> None:
        self._metrics.duplicates.inc()

    def gap(self) -> None:
        self._metrics.gaps.inc()

    def resync(self, cause: str) -> None:
        self._metrics.resyncs.labels(cause).inc()
        logger.warning("taking a snapshot: %s", cause)

    def rejected(self, reason: str) -> None:
        self._metrics.rejected.inc()
        logger.warning("message rejected: %s", reason)

    def foreign_epoch(self) -> None:
        self._metrics.foreign_epochs.inc()

    def drift(self, entities: int) -> None:
        self._metrics.drift.inc(entities)
        logger.error("the store had drifted in %d entities and was repaired", entities)

    def dependency(self, name: Dependency, up: bool) -> None:
        logger.log(logging.INFO if up else logging.WARNING, "%s is %s", name, "up" if up else "down")
