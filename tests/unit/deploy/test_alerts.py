"""Alerts: each asks for metrics that exist, fires when it should and only then, and has a section to read."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from authz_sidecar.observe.families import FAMILIES
from lab.stack.binaries import find

ROOT = Path(__file__).parents[3]
FILE = ROOT / "deploy" / "helm" / "authz-sidecar" / "monitoring" / "alerts.yaml"
(GROUP,) = yaml.safe_load(FILE.read_text())["groups"]
ALERTS = {rule["alert"]: rule for rule in GROUP["rules"]}

Series = dict[str, str]
BUCKET = "authz_propagation_seconds_bucket"
OUTCOME = "authz_rule_decisions_total"

# Series by name and labels, a value each 15 s, as promtool writes them; the first fire, the second do not.
CASES: dict[str, tuple[Series, Series]] = {
    "AuthzDown": ({'up{job="authz-sidecar"}': "0x20"}, {'up{job="other"}': "0x20"}),
    "AuthzStale": ({'authz_phase{phase="stale"}': "1x20"}, {'authz_phase{phase="live"}': "1x20"}),
    "AuthzGettingStale": (
        {"authz_staleness_seconds": "11x20", 'authz_phase{phase="stale"}': "0x20"},
        {"authz_staleness_seconds": "99x20", 'authz_phase{phase="stale"}': "1x20"},
    ),
    "AuthzAuditLate": ({"authz_audit_age_seconds": "3601x60"}, {"authz_audit_age_seconds": "3600x60"}),
    "AuthzDrift": ({"authz_drift_total": "0x5 3x5"}, {"authz_drift_total": "3x60"}),
    "AuthzGaps": ({"authz_gaps_total": "0+1x60"}, {"authz_gaps_total": "0+0.25x60"}),
    "AuthzMessagesRejected": (
        {"authz_messages_rejected_total": "0x5 1x5"},
        {"authz_messages_rejected_total": "1x60"},
    ),
    "AuthzPropagationSlow": (
        {f'{BUCKET}{{le="5"}}': "0x90", f'{BUCKET}{{le="10"}}': "0+1x90", f'{BUCKET}{{le="+Inf"}}': "0+1x90"},
        {
            f'{BUCKET}{{le="1"}}': "0+1x90",
            f'{BUCKET}{{le="5"}}': "0+1x90",
            f'{BUCKET}{{le="+Inf"}}': "0+1x90",
        },
    ),
    "AuthzBehindFleet": (
        {
            'authz_applied_revision{job="a",instance="x"}': "7x20",
            'authz_applied_revision{job="a",instance="y"}': "8x20",
        },
        {
            'authz_applied_revision{job="a",instance="x"}': "7x20",
            'authz_applied_revision{job="b",instance="y"}': "8x20",
        },
    ),
    "AuthzUnknown": (
        {'authz_decisions_total{code="stale",enforced="true"}': "0+15x40"},
        {'authz_decisions_total{code="permission_denied",enforced="true"}': "0+15x40"},
    ),
    "AuthzManyRefusals": (
        {
            f'{OUTCOME}{{outcome="refused",rule="a"}}': "0+40x90",
            f'{OUTCOME}{{outcome="allowed",rule="a"}}': "0+1x90",
        },
        {
            f'{OUTCOME}{{outcome="refused",rule="a"}}': "0+1x90",
            f'{OUTCOME}{{outcome="allowed",rule="a"}}': "0x90",
        },
    ),
    "AuthzUpstream": (
        {'authz_failures_total{code="upstream_timeout"}': "0+15x40"},
        {'authz_failures_total{code="request_timeout"}': "0+15x40"},
    ),
    "AuthzInternalError": (
        {'authz_failures_total{code="internal_error"}': "0x5 1x5"},
        {'authz_failures_total{code="internal_error"}': "1x60"},
    ),
    "AuthzLogLoss": (
        {"authz_decision_log_dropped_total": "0x5 1x5", "authz_log_dropped_total": "0x10"},
        {"authz_decision_log_dropped_total": "0x60", "authz_log_dropped_total": "0x60"},
    ),
    "AuthzClock": ({"authz_clock_offset_seconds": "-6x60"}, {"authz_clock_offset_seconds": "4x60"}),
    "AuthzDependencyDown": (
        {'authz_dependency_up{name="broker"}': "0x40"},
        {'authz_dependency_up{name="broker"}': "1x40"},
    ),
    "AuthzSilentSubscription": (
        {"authz_silent_subscription": "1x40"},
        {"authz_silent_subscription": "0x40"},
    ),
    "AuthzKeysFailing": ({"authz_signing_keys_failing": "1x60"}, {"authz_signing_keys_failing": "0x60"}),
    "AuthzReloadRejected": ({"authz_reload_rejected": "1x40"}, {"authz_reload_rejected": "0x40"}),
    "AuthzShadow": (
        {'authz_mode_info{mode="shadow",validation="cached"}': "1x6000"},
        {'authz_mode_info{mode="enforce",validation="cached"}': "1x6000"},
    ),
}


def test_every_alert_is_tried() -> None:
    assert set(CASES) == set(ALERTS)


@pytest.mark.parametrize("alert", ALERTS)
def test_it_asks_for_metrics_that_exist(alert: str) -> None:
    known = {"up"}
    for family in FAMILIES:
        suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
        known |= {family.name + suffix for suffix in suffixes.get(family.type, ("",))}
    assert set(re.findall(r"\b(?:authz_\w+|up)\b", ALERTS[alert]["expr"])) <= known


@pytest.mark.parametrize("alert", ALERTS)
def test_it_has_a_section_that_says_what_it_means_what_to_look_at_and_what_to_do(alert: str) -> None:
    assert ALERTS[alert]["annotations"]["runbook"] == f"docs/runbook.md#{alert.lower()}"
    sections = re.split(r"^## ", (ROOT / "docs" / "runbook.md").read_text(), flags=re.MULTILINE)
    (section,) = [each for each in sections if each.splitlines()[0] == alert]
    assert re.findall(r"^\*\*(.+?)\*\*", section, re.MULTILINE) == ["Means.", "Look at.", "Do."]


@pytest.fixture
def promtool() -> str:
    found = find("promtool")
    if found is None:
        pytest.skip("promtool is not installed: python -m lab.setup.bootstrap promtool")
    return found


def run(promtool: str, *arguments: str) -> None:
    done = subprocess.run([promtool, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_takes_the_rules(promtool: str) -> None:
    run(promtool, "check", "rules", str(FILE))


def _test(alert: str, series: Series, *, fires: bool) -> dict[str, Any]:
    last = max(len(_values(values)) for values in series.values())
    rule = ALERTS[alert]
    checked: dict[str, Any] = {"eval_time": f"{(last - 1) * 15}s", "alertname": alert}
    given = [{"series": name, "values": values} for name, values in series.items()]
    if not fires:
        checked["exp_alerts"] = []
    return {"interval": "15s", "input_series": given, "alert_rule_test": [checked], "name": rule["alert"]}


def _values(text: str) -> list[str]:
    return [value for part in text.split() for value in [part] * (int(part.rpartition("x")[2]) + 1)]


@pytest.mark.parametrize("fires", [True, False], ids=["fires", "is quiet"])
@pytest.mark.parametrize("alert", CASES)
def test_it_fires_when_it_should_and_only_then(
    promtool: str, tmp_path: Path, alert: str, fires: bool
) -> None:
    """An expectation of no alert holds exactly when it is quiet."""
    test = _test(alert, CASES[alert][not fires], fires=False)
    path = tmp_path / "test.yaml"
    path.write_text(yaml.safe_dump({"rule_files": [str(FILE)], "tests": [test]}))
    done = subprocess.run([promtool, "test", "rules", str(path)], capture_output=True, text=True, check=False)
    shown = done.stdout + done.stderr
    assert (done.returncode == 0) is not fires, shown
    assert (f"alertname: {alert}" in shown) is fires, shown
