"""What operators see of the replica: names and values, as Prometheus reads them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from authz_sidecar.core.entities import Position
from authz_sidecar.core.phases import Phase
from authz_sidecar.core.ports import ReplicaStatus
from authz_sidecar.observe.freshness import FreshnessCollector
from authz_sidecar.observe.hooks import ReplicaHooks
from authz_sidecar.observe.metrics import Metrics

POSITION = Position("3f2a9c1b-0000-4000-8000-000000000001", 41, "2026-11-22T09:00:00.123456Z")
STATUS = ReplicaStatus(
    phase=Phase.CATCHING_UP,
    was_live=True,
    applied=POSITION,
    head=42,
    staleness=1.5,
    fresh=True,
    store=POSITION,
    source="broker",
    audit_age=250.0,
    near_cache_entries=7,
    dependencies={"user_service": True, "broker": False},
)
NEVER_SYNCED = replace(
    STATUS, phase=Phase.COLD, applied=None, head=None, staleness=None, audit_age=None, dependencies={}
)

GAUGES = {
    "applied": (STATUS, "authz_applied_revision", 41),
    "head": (STATUS, "authz_head_revision", 42),
    "staleness": (STATUS, "authz_staleness_seconds", 1.5),
    "audit": (STATUS, "authz_audit_age_seconds", 250.0),
    "no audit is no age": (NEVER_SYNCED, "authz_audit_age_seconds", float("inf")),
    "heard": (STATUS, "authz_silent_subscription", 0),
    "silent": (replace(STATUS, silent_subscription=True), "authz_silent_subscription", 1),
    "near cache": (STATUS, "authz_near_cache_entries", 7),
    "phase": (STATUS, 'authz_phase{phase="catching_up"}', 1),
    "another phase": (STATUS, 'authz_phase{phase="live"}', 0),
    "up": (STATUS, 'authz_dependency_up{name="user_service"}', 1),
    "down": (STATUS, 'authz_dependency_up{name="broker"}', 0),
    "never tried": (STATUS, 'authz_dependency_up{name="store"}', None),
    "nothing applied": (NEVER_SYNCED, "authz_applied_revision", 0),
    "no proof is no freshness": (NEVER_SYNCED, "authz_staleness_seconds", float("inf")),
}


def samples(metrics: Metrics) -> dict[str, float]:
    lines = metrics.exposition()[0].decode().splitlines()
    return {name: float(value) for name, value in (each.rsplit(" ", 1) for each in lines if each[0] != "#")}


@pytest.mark.parametrize(("status", "name", "value"), GAUGES.values(), ids=GAUGES.keys())
def test_where_the_replica_stands(status: ReplicaStatus, name: str, value: float | None) -> None:
    metrics = Metrics()
    metrics.registry.register(FreshnessCollector(lambda: status))
    assert samples(metrics).get(name) == value


def test_what_happens_to_the_replica_is_counted() -> None:
    metrics = Metrics()
    hooks = ReplicaHooks(metrics)
    hooks.applied(POSITION, 0.02)
    hooks.applied(POSITION, None)
    hooks.duplicate()
    hooks.gap()
    hooks.resync("epoch")
    hooks.rejected("v: expected 1")
    hooks.foreign_epoch()
    hooks.drift(3)
    hooks.dependency("broker", up=False)
    hooks.dependency("broker", up=True)
    found = samples(metrics)
    assert {
        "authz_propagation_seconds_count": 1,
        "authz_propagation_seconds_sum": 0.02,
        "authz_duplicates_total": 1,
        "authz_gaps_total": 1,
        'authz_resyncs_total{cause="epoch"}': 1,
        "authz_messages_rejected_total": 1,
        "authz_foreign_epochs_total": 1,
        "authz_drift_total": 3,
        'authz_dependency_losses_total{name="broker"}': 1,
    }.items() <= found.items()
