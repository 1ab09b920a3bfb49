"""The hooks that the request path and the replica call, turned into metrics and decision log lines."""

from __future__ import annotations

from authz_sidecar.core.entities import Position
from authz_sidecar.core.ports import Dependency
from authz_sidecar.core.verdicts import Answered, Decision, Failure
from authz_sidecar.observe.decision_log import DecisionLog
from authz_sidecar.observe.metrics import Metrics
from authz_sidecar.observe.recent import RecentRefusals


class RequestHooks:
    """Implements `core.ports.RequestObserver`."""

    def __init__(self, metrics: Metrics, decision_log: DecisionLog, recent: RecentRefusals) -> None:
        self._metrics = metrics
        self._decision_log = decision_log
        self._recent = recent

    def decided(self, decision: Decision, seconds: float) -> bool:
        self._metrics.decided(decision, seconds)
        self._recent.note(decision)
        return self._decision_log.decided(decision)

    def failed(self, failure: Failure) -> None:
        self._metrics.failed(failure)
        self._decision_log.failed(failure)

    def retried(self, request_id: str) -> None:
        self._metrics.retried()
        self._decision_log.retried(request_id)

    def answered(self, answered: Answered) -> None:
        self._metrics.answered(answered)
        if answered.told:
            self._decision_log.answered(answered)


class ReplicaHooks:
    """Implements `core.ports.ReplicaObserver`."""

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

    def rejected(self, _reason: str) -> None:
        self._metrics.rejected.inc()

    def foreign_epoch(self) -> None:
        self._metrics.foreign_epochs.inc()

    def drift(self, entities: int) -> None:
        self._metrics.drift.inc(entities)

    def silence(self) -> None:
        self._metrics.silences.inc()

    def dependency(self, name: Dependency, up: bool) -> None:
        if not up:
            self._metrics.losses.labels(name).inc()
