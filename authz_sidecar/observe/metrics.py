"""Prometheus metrics (names and units: prometheus.io/docs/practices/naming)."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from authz_sidecar.core.verdicts import Decision, Failure
from authz_sidecar.observe.tallies import Distribution, Tally

FAST_SECONDS = (1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 5e-2, 0.25, 1.0)
"""From a decision out of the near cache to one that waits for a dependency."""
SLOW_SECONDS = (1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""From a change enforced at once to one that waited out an outage; and whole requests."""
_CLASSES = tuple(f"{hundreds}xx" for hundreds in range(10))


class Metrics:
    """What is counted. One registry of its own, so that two sidecars can live in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._request_metrics()
        self._replica_metrics()

    def _request_metrics(self) -> None:
        self._decisions = Tally("authz_decisions", "Decisions by stable code.", ["code", "enforced"])
        self._decision_seconds = Distribution(
            "authz_decision_seconds", "From a request's head to its decision, waiting included.", FAST_SECONDS
        )
        self._failures = Tally("authz_failures", "Requests ended by the byte path itself, by code.", ["code"])
        self._responses = Tally("authz_responses", "Responses by status class.", ["class"])
        self._response_seconds = Distribution(
            "authz_response_seconds", "From a request's head to the end of its response.", SLOW_SECONDS
        )
        tallies = (self._decisions, self._failures, self._responses)
        for each in (*tallies, self._decision_seconds, self._response_seconds):
            self.registry.register(each)
        self._calls = Counter(
            "authz_user_service_calls",
            "Calls made to the User service, by endpoint and status class.",
            ["endpoint", "class"],
            registry=self.registry,
        )

    def _replica_metrics(self) -> None:
        self.propagation = Histogram(
            "authz_propagation_seconds",
            "From a change marked in the User service to its enforcement here.",
            buckets=SLOW_SECONDS,
            registry=self.registry,
        )
        self.duplicates = self._counter("duplicates", "Revisions received that were already applied.")
        self.gaps = self._counter("gaps", "Gaps noticed in the revisions.")
        self.rejected = self._counter("messages_rejected", "Messages that broke the contract.")
        self.foreign_epochs = self._counter("foreign_epochs", "Messages of another history, ignored.")
        self.drift = self._counter("drift", "Entities found different from the User service's.")
        self.resyncs = Counter(
            "authz_resyncs", "Snapshots loaded, by cause.", ["cause"], registry=self.registry
        )
        self.losses = Counter(
            "authz_dependency_losses", "Times a dependency was lost.", ["name"], registry=self.registry
        )

    def _counter(self, name: str, documentation: str) -> Counter:
        return Counter(f"authz_{name}", documentation, registry=self.registry)

    def decided(self, decision: Decision, seconds: float) -> None:
        self._decisions.counts[decision.verdict.code, "true" if decision.enforced else "false"] += 1
        self._decision_seconds.observe(seconds)

    def failed(self, failure: Failure) -> None:
        self._failures.counts[failure.code,] += 1

    def answered(self, status: int, seconds: float) -> None:
        self._responses.counts[_CLASSES[status // 100],] += 1
        self._response_seconds.observe(seconds)

    def called(self, endpoint: str, status: int | None) -> None:
        """A call to the User service ended; `None` when there was no answer."""
        self._calls.labels(endpoint, f"{status // 100}xx" if status else "none").inc()

    def watch_decision_log(self, dropped: Callable[[], int]) -> None:
        """Export how many lines the decision log has lost."""
        gauge = Gauge("authz_decision_log_dropped", "Decision log lines lost.", registry=self.registry)
        gauge.set_function(dropped)

    def exposition(self) -> tuple[bytes, str]:
        """All metrics in the text format, and its content type."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST
