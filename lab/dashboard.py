"""Grafana's dashboard, from the short tables below.

python -m lab.dashboard      # writes dashboard.json beside the alerts, for Compose and for the chart
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lab.manifests import CHART

FILE = CHART / "monitoring" / "dashboard.json"
COLUMNS = 24
HEIGHT = 7
SIDECARS = '{job=~"$job", instance=~"$instance"}'
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True)
class Panel:
    """`queries` by legend; `%` in one stands for the chosen sidecars."""

    title: str
    meaning: str
    queries: dict[str, str]
    unit: str = "short"
    type: str = "timeseries"
    width: int = 8


def rate(metric: str, by: str = "") -> str:
    return f"sum{f' by ({by})' if by else ''} (rate({metric}%[$__rate_interval]))"


def quantiles(histogram: str, where: str = "") -> dict[str, str]:
    """Its median and its 99th percentile."""
    buckets = rate(f"{histogram}_bucket", "le")
    return {
        f"{name}{where}": f"histogram_quantile({share}, {buckets})"
        for name, share in (("50 %", 0.5), ("99 %", 0.99))
    }


ROWS: dict[str, list[Panel]] = {
    "Is it fresh?": [
        Panel("Sidecars", "Those that answer.", {"up": "sum(up%)"}, type="stat", width=4),
        Panel(
            "Phase",
            "How many are in each phase; only live and syncing ones decide.",
            {"{{phase}}": "sum by (phase) (authz_phase%) > 0"},
            type="stat",
            width=4,
        ),
        Panel(
            "Staleness",
            "Age of the newest proof of freshness; past AUTHZ_MAX_STALENESS changes get 503.",
            {"{{instance}}": "authz_staleness_seconds%"},
            "s",
        ),
        Panel(
            "From a change to its enforcement",
            "From the mark in the User service to the first decision by it.",
            quantiles("authz_propagation_seconds"),
            "s",
        ),
        Panel(
            "Behind the head",
            "Revisions known of and not yet applied.",
            {"{{instance}}": "authz_head_revision% - authz_applied_revision%"},
        ),
        Panel(
            "Audit age",
            "Since all of the log was compared with the tables of the User service.",
            {"{{instance}}": "authz_audit_age_seconds%"},
            "s",
        ),
        Panel(
            "What went wrong with the log",
            "Gaps, drift and messages that break the contract are mended, and should not be.",
            {
                "gaps": rate("authz_gaps_total"),
                "drift": rate("authz_drift_total"),
                "rejected messages": rate("authz_messages_rejected_total"),
                "silences": rate("authz_subscription_silences_total"),
            },
        ),
    ],
    "What is decided?": [
        Panel(
            "Decisions by code",
            "What each means: docs/codes.md.",
            {"{{code}}": f"{rate('authz_decisions_total', 'code')} > 0"},
            "reqps",
        ),
        Panel(
            "Refusals by rule",
            "In shadow mode: what would be refused. Without a rule: no rule names it.",
            {
                "{{rule}}": "sum by (rule) (rate(authz_rule_decisions_total"
                '{outcome!="allowed", job=~"$job", instance=~"$instance"}[$__rate_interval])) > 0'
            },
            "reqps",
        ),
        Panel(
            "Time of a decision",
            "From a request's head to its decision, waiting included.",
            quantiles("authz_decision_seconds"),
            "s",
        ),
        Panel(
            "Responses", "By status class.", {"{{class}}": rate("authz_responses_total", "class")}, "reqps"
        ),
        Panel(
            "Time of a request",
            "From its head to the end of its response; of that, until the service began to answer.",
            {
                **quantiles("authz_response_seconds"),
                **quantiles("authz_upstream_seconds", " at the service"),
            },
            "s",
        ),
        Panel(
            "In flight",
            "Requests that were let through and have not ended.",
            {"{{instance}}": "authz_requests_in_flight%"},
        ),
    ],
    "What is in the way?": [
        Panel(
            "Dependencies",
            "1 while it answers.",
            {"{{name}} of {{instance}}": "authz_dependency_up%"},
        ),
        Panel(
            "Failures by code",
            "Ended by the byte path itself: docs/codes.md.",
            {"{{code}}": f"{rate('authz_failures_total', 'code')} > 0"},
            "reqps",
        ),
        Panel(
            "Calls to the User service",
            "Decisions need none while the copy is fresh.",
            {"{{endpoint}} {{class}}": rate("authz_user_service_calls_total", "endpoint, class")},
            "reqps",
        ),
        Panel(
            "Snapshots",
            "Loaded instead of single changes, by cause.",
            {"{{cause}}": rate("authz_resyncs_total", "cause")},
        ),
        Panel(
            "Lost log lines",
            "Of the decision log and of the log on standard error.",
            {
                "decisions": rate("authz_decision_log_dropped_total"),
                "diagnostics": rate("authz_log_dropped_total"),
            },
        ),
        Panel(
            "Configuration and keys",
            "1: the files hold what was rejected; the keys cannot be fetched.",
            {
                "rejected": "max(authz_reload_rejected%)",
                "keys failing": "max(authz_signing_keys_failing%)",
            },
        ),
    ],
    "The processes": [
        Panel("Connections", "Of clients.", {"{{instance}}": "authz_connections%"}, width=6),
        Panel(
            "Processor",
            "Cores in use.",
            {"{{instance}}": "rate(process_cpu_seconds_total%[$__rate_interval])"},
            width=6,
        ),
        Panel("Memory", "Resident.", {"{{instance}}": "process_resident_memory_bytes%"}, "bytes", width=6),
        Panel(
            "Clock",
            "How far the User service's is ahead.",
            {"{{instance}}": "authz_clock_offset_seconds%"},
            "s",
            width=6,
        ),
    ],
}


def dashboard() -> dict[str, Any]:
    return {
        "uid": "authz-sidecar",
        "title": "authz-sidecar",
        "description": "Is it fresh, what does it decide, what is in the way?",
        "tags": ["authz-sidecar"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "refresh": "10s",
        "timezone": "",
        "time": {"from": "now-30m", "to": "now"},
        "templating": {"list": list(_variables())},
        "panels": list(_panels()),
    }


def _variables() -> Iterator[dict[str, Any]]:
    yield {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
    for name, query in (
        ("job", "label_values(authz_build_info, job)"),
        ("instance", 'label_values(authz_build_info{job=~"$job"}, instance)'),
    ):
        yield {
            "name": name,
            "type": "query",
            "datasource": DATASOURCE,
            "query": {"query": query, "refId": name},
            "refresh": 2,
            "multi": True,
            "includeAll": True,
            "allValue": ".*",
            "current": {"text": ["All"], "value": ["$__all"]},
        }


def _panels() -> Iterator[dict[str, Any]]:
    """Each row's title, then its panels from left to right; a line that is full is followed by another."""
    number = top = 0
    for title, panels in ROWS.items():
        number += 1
        yield {
            "id": number,
            "type": "row",
            "title": title,
            "collapsed": False,
            "panels": [],
            **_place(0, top),
        }
        top, left = top + 1, 0
        for panel in panels:
            number += 1
            if left + panel.width > COLUMNS:
                top, left = top + HEIGHT, 0
            yield {"id": number, **_panel(panel), **_place(left, top, panel.width, HEIGHT)}
            left += panel.width
        top += HEIGHT


def _place(left: int, top: int, width: int = COLUMNS, height: int = 1) -> dict[str, Any]:
    return {"gridPos": {"x": left, "y": top, "w": width, "h": height}}


def _panel(panel: Panel) -> dict[str, Any]:
    targets = [
        {
            "refId": chr(ord("A") + number),
            "datasource": DATASOURCE,
            "expr": query.replace("%", SIDECARS),
            "legendFormat": legend,
        }
        for number, (legend, query) in enumerate(panel.queries.items())
    ]
    return {
        "type": panel.type,
        "title": panel.title,
        "description": panel.meaning,
        "datasource": DATASOURCE,
        "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
        "targets": targets,
    }


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter).parse_args()
    FILE.write_text(text())


def text() -> str:
    return json.dumps(dashboard(), indent=2) + "\n"


if __name__ == "__main__":
    main()
