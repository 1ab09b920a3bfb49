"""What is exported is what is written down, and the other way round."""

from __future__ import annotations

import subprocess
from queue import SimpleQueue

import pytest
from prometheus_client.parser import text_string_to_metric_families

from authz_sidecar.core.phases import Phase
from authz_sidecar.core.ports import KeysStatus, ReplicaStatus
from authz_sidecar.core.verdicts import Answered, Code, Decision, Failure, FaultCode, Verdict
from authz_sidecar.observe import families
from authz_sidecar.observe.facts import FactsCollector
from authz_sidecar.observe.families import FAMILIES, Family
from authz_sidecar.observe.freshness import FreshnessCollector, KeysCollector
from authz_sidecar.observe.hooks import ReplicaHooks
from authz_sidecar.observe.lines import LineQueue
from authz_sidecar.observe.metrics import Metrics
from authz_sidecar.observe.output import Outputs
from lab.stack.binaries import find

STATUS = ReplicaStatus(
    phase=Phase.LIVE,
    was_live=True,
    applied=None,
    head=None,
    staleness=None,
    fresh=False,
    store=None,
    source="feed",
    dependencies={"store": True},
)


@pytest.fixture(scope="module")
def exposition() -> str:
    """All metrics, once everything that has labels was counted."""
    metrics = Metrics()
    facts = FactsCollector(
        version="1", compiled=True, mode="enforce", validation="cached", policy=lambda: "d1"
    )
    metrics.registry.register(facts)
    for family in (
        families.WORKERS,
        families.CONNECTIONS,
        families.DECISIONS_CONNECTIONS,
        families.IN_FLIGHT,
        families.CLOCK_OFFSET,
    ):
        metrics.export(family, lambda: 3)
    metrics.registry.register(FreshnessCollector(lambda: STATUS))
    metrics.registry.register(KeysCollector(lambda: KeysStatus((), None, None)))
    metrics.watch(Outputs(LineQueue(SimpleQueue()), LineQueue(SimpleQueue())))
    metrics.decided(Decision("r", "GET", "/", Verdict(Code.SAFE_METHOD), 0), 0.1)
    metrics.failed(Failure("r", 400, FaultCode.MALFORMED_REQUEST, "::1"))
    metrics.answered(Answered("r", 200, 0.1, "", upstream=0.05, trace_id="4bf92f3577b34da6a3ce929d0e0e4736"))
    metrics.called("head", 200)
    metrics.reloaded(accepted=True)
    hooks = ReplicaHooks(metrics)
    hooks.resync("start")
    hooks.dependency("store", up=False)
    return metrics.exposition()[0].decode()


@pytest.fixture(scope="module")
def exported(exposition: str) -> dict[str, tuple[str, str, set[str]]]:
    """Type, meaning and labels of every metric."""
    found = text_string_to_metric_families(exposition)
    return {
        each.name: (each.type, each.documentation, {label for one in each.samples for label in one.labels})
        for each in found
        if not each.name.endswith("_created") and not each.name.startswith("process_")
    }


def test_nothing_else_is_exported(exported: dict[str, object]) -> None:
    assert set(exported) == {family.name for family in FAMILIES}


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_metric_is_as_written(family: Family, exported: dict[str, tuple[str, str, set[str]]]) -> None:
    kind, meaning, labels = exported[family.name]
    assert (kind, meaning) == (family.type, family.meaning)
    assert labels - {"le"} == set(family.labels)


def test_the_process_is_told_of(exposition: str) -> None:
    assert "\nprocess_resident_memory_bytes " in exposition
    assert "\nprocess_open_fds " in exposition


def test_prometheus_has_nothing_to_say_against_them(exposition: str) -> None:
    promtool = find("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed: python -m lab.setup.bootstrap promtool")
    done = subprocess.run(
        [promtool, "check", "metrics"], input=exposition, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
