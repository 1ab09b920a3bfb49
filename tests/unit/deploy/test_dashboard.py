"""Grafana's dashboard: each panel is one that Grafana knows, and asks for metrics that exist."""

from __future__ import annotations

import itertools
import json
import re
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from authz_sidecar.observe.families import FAMILIES
from lab import dashboard

SHIPPED = json.loads(dashboard.FILE.read_text())
PANELS = [panel for panel in SHIPPED["panels"] if panel["type"] != "row"]

DATASOURCE = {"const": {"type": "prometheus", "uid": "${datasource}"}}
TEXT = {"type": "string", "minLength": 1}
NUMBER = {"type": "integer", "minimum": 0}


def exactly(**properties: Any) -> dict[str, Any]:
    """An object with these members, and no other."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


PANEL = exactly(
    id={"type": "integer", "minimum": 1},
    type={"enum": ["timeseries", "stat"]},
    title=TEXT,
    description=TEXT,
    datasource=DATASOURCE,
    gridPos=exactly(x=NUMBER, y=NUMBER, w={"type": "integer", "minimum": 1, "maximum": 24}, h=NUMBER),
    fieldConfig=exactly(
        defaults=exactly(unit={"enum": ["short", "s", "reqps", "bytes"]}), overrides={"const": []}
    ),
    targets={
        "type": "array",
        "minItems": 1,
        "items": exactly(refId={"pattern": "^[A-Z]$"}, datasource=DATASOURCE, expr=TEXT, legendFormat=TEXT),
    },
)


def test_it_is_the_one_of_the_tables() -> None:
    """`python -m lab.dashboard` renews it."""
    assert dashboard.FILE.read_text() == dashboard.text()


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_is_one_that_grafana_knows(panel: dict[str, Any]) -> None:
    assert [each.message for each in Draft202012Validator(PANEL).iter_errors(panel)] == []
    references = [target["refId"] for target in panel["targets"]]
    assert len(set(references)) == len(references)


def test_panels_have_numbers_of_their_own_and_do_not_cover_each_other() -> None:
    numbers = [panel["id"] for panel in SHIPPED["panels"]]
    assert len(set(numbers)) == len(numbers)
    for one, other in itertools.combinations((panel["gridPos"] for panel in SHIPPED["panels"]), 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        apart = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or apart
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in SHIPPED["panels"])


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_it_asks_for_metrics_that_exist(panel: dict[str, Any]) -> None:
    suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}
    known = {family.name + suffix for family in FAMILIES for suffix in suffixes[family.type]}
    for target in panel["targets"]:
        assert set(re.findall(r"\bauthz_\w+", target["expr"])) <= known
        assert target["expr"].count('job=~"$job"') == target["expr"].count('instance=~"$instance"') >= 1
