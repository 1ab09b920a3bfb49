"""The metrics that the sidecar exports, each written once: name, type, labels, meaning.

Names and units: prometheus.io/docs/practices/naming. docs/metrics.md is made from these.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

FAST_SECONDS = (1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 5e-2, 0.25, 1.0)
"""From a decision out of the near cache to one that waits for a dependency."""
SLOW_SECONDS = (1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""From a change enforced at once to one that waited out an outage; and whole requests."""


class Family(NamedTuple):
    """One metric. `name` is without the suffixes that its type brings (`_total`, `_bucket`, …)."""

    name: str
    type: Literal["counter", "gauge", "histogram"]
    meaning: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    """Upper bounds of a histogram's buckets, ascending, without infinity."""


DECISIONS = Family("authz_decisions", "counter", "Decisions by stable code.", ("code", "enforced"))
RULE_DECISIONS = Family(
    "authz_rule_decisions",
    "counter",
    "Decisions by rule, at most 1,000 of them: allowed, refused, or (in shadow mode) would_refuse.",
    ("rule", "outcome"),
)
DECISION_SECONDS = Family(
    "authz_decision_seconds",
    "histogram",
    "From a request's head to its decision, waiting included.",
    buckets=FAST_SECONDS,
)
FAILURES = Family("authz_failures", "counter", "Requests ended by the byte path itself, by code.", ("code",))
RETRIES = Family(
    "authz_upstream_retries",
    "counter",
    "Requests sent to the service once more, because it had ended a kept connection without an answer.",
)
RESPONSES = Family("authz_responses", "counter", "Responses by status class.", ("class",))
RESPONSE_SECONDS = Family(
    "authz_response_seconds",
    "histogram",
    "From a request's head to the end of its response.",
    buckets=SLOW_SECONDS,
)
UPSTREAM_SECONDS = Family(
    "authz_upstream_seconds",
    "histogram",
    "From handing a request to the service to the first byte of its answer.",
    buckets=SLOW_SECONDS,
)
DECISION_LOG_DROPPED = Family(
    "authz_decision_log_dropped", "counter", "Lines of the decision log that did not fit or were not taken."
)
LOG_DROPPED = Family(
    "authz_log_dropped", "counter", "Lines of the log on standard error that did not fit or were not taken."
)
USER_SERVICE_CALLS = Family(
    "authz_user_service_calls",
    "counter",
    "Calls made to the User service, by endpoint and status class.",
    ("endpoint", "class"),
)
APPLIED_REVISION = Family("authz_applied_revision", "gauge", "The newest revision decided by.")
HEAD_REVISION = Family("authz_head_revision", "gauge", "The newest revision known of at the User service.")
STALENESS_SECONDS = Family("authz_staleness_seconds", "gauge", "Age of the newest valid proof of freshness.")
AUDIT_AGE_SECONDS = Family(
    "authz_audit_age_seconds",
    "gauge",
    "Time since the User service had compared all of its log with its tables.",
)
PROPAGATION_SECONDS = Family(
    "authz_propagation_seconds",
    "histogram",
    "From a change marked in the User service to its enforcement here.",
    buckets=SLOW_SECONDS,
)
PHASE = Family("authz_phase", "gauge", "1 for the phase the replica is in.", ("phase",))
NEAR_CACHE_ENTRIES = Family("authz_near_cache_entries", "gauge", "Entities held in this process.")
DEPENDENCY_UP = Family("authz_dependency_up", "gauge", "1 while a dependency answers.", ("name",))
DEPENDENCY_LOSSES = Family("authz_dependency_losses", "counter", "Times a dependency was lost.", ("name",))
SILENT_SUBSCRIPTION = Family(
    "authz_silent_subscription", "gauge", "1 while the broker is there and its subscription brings nothing."
)
SILENCES = Family(
    "authz_subscription_silences", "counter", "Times a subscription brought nothing and was made anew."
)
SIGNING_KEYS = Family("authz_signing_keys", "gauge", "Keys that access tokens are verified with.")
SIGNING_KEYS_AGE = Family(
    "authz_signing_keys_age_seconds", "gauge", "Time since the signing keys were last fetched."
)
SIGNING_KEYS_FAILING = Family(
    "authz_signing_keys_failing", "gauge", "1 while the signing keys cannot be fetched."
)
BUILD_INFO = Family("authz_build_info", "gauge", "Always 1.", ("version", "compiled", "python"))
MODE_INFO = Family("authz_mode_info", "gauge", "Always 1.", ("mode", "validation"))
POLICY_INFO = Family(
    "authz_policy_info", "gauge", "Always 1: the digest of the policy in force.", ("policy",)
)
CLOCK_OFFSET = Family(
    "authz_clock_offset_seconds",
    "gauge",
    "How far the User service's clock is ahead of ours, by its latest answer; NaN before the first.",
)
WORKERS = Family(
    "authz_workers", "gauge", "Processes that serve requests; there while AUTHZ_WORKERS is above 1."
)
CONNECTIONS = Family("authz_connections", "gauge", "Connections of clients.")
DECISIONS_CONNECTIONS = Family(
    "authz_decisions_connections", "gauge", "Connections to the decisions port; there while it is on."
)
IN_FLIGHT = Family("authz_requests_in_flight", "gauge", "Requests that were let through and have not ended.")
RELOADS = Family("authz_reloads", "counter", "Times the configuration was read anew.", ("outcome",))
RELOAD_REJECTED = Family(
    "authz_reload_rejected",
    "gauge",
    "1 while the files hold what was rejected, and the last good configuration goes on.",
)
DUPLICATES = Family("authz_duplicates", "counter", "Revisions received that were already applied.")
GAPS = Family("authz_gaps", "counter", "Gaps noticed in the revisions.")
RESYNCS = Family("authz_resyncs", "counter", "Snapshots loaded, by cause.", ("cause",))
MESSAGES_REJECTED = Family("authz_messages_rejected", "counter", "Messages that broke the contract.")
FOREIGN_EPOCHS = Family("authz_foreign_epochs", "counter", "Messages of another history, ignored.")
DRIFT = Family("authz_drift", "counter", "Entities found different from the User service's.")

FAMILIES = tuple(value for value in globals().values() if isinstance(value, Family))
"""All of them, in this order."""
