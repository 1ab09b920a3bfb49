"""Prometheus scrapes a real sidecar: each query of the dashboard finds something, alerts are judged."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from lab import DEADLINE, dashboard
from lab.stack.binaries import find
from lab.stack.client import Client, People
from lab.stack.process import wait_for
from lab.stack.prometheus import Prometheus
from lab.stack.system import Stack

QUERIES = {
    f"{panel['title']}: {target['legendFormat']}": target["expr"]
    for panel in json.loads(dashboard.FILE.read_text())["panels"]
    for target in panel.get("targets", ())
}
CHOSEN = {"$job": "authz-sidecar", "$instance": ".*", "$__rate_interval": "10m"}


@pytest.fixture(scope="module")
def prometheus(system: Stack, people: People) -> Iterator[Prometheus]:
    """It has seen what came before, and then a refused change and a request that is none."""
    if find("prometheus") is None:
        pytest.skip("prometheus is not installed: python -m lab.setup.bootstrap promtool")
    with Prometheus(system.sidecar.admin_url.removeprefix("http://")) as server:
        wait_for(lambda: _scraped(server) > 0, DEADLINE, "the first scrape", server.process)
        people_say(system, people)
        scraped = _scraped(server)
        wait_for(lambda: _scraped(server) > scraped + 1, DEADLINE, "another scrape", server.process)
        yield server


def people_say(system: Stack, people: People) -> None:
    with closing(Client(system.sidecar.url)) as carol:
        answer = carol.send("POST", "/students/", token=people.token("carol"), data={})
    assert answer.status == 403
    with socket.create_connection(("127.0.0.1", system.sidecar.port), timeout=DEADLINE) as client:
        client.sendall(b"nonsense\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 501")


def _scraped(prometheus: Prometheus) -> float:
    """How often, by its own account."""
    result = ask(prometheus, "count_over_time(up[1h])")
    return float(result[0]["value"][1]) if result else 0


def ask(prometheus: Prometheus, query: str) -> list[dict[str, Any]]:
    result: list[dict[str, Any]] = prometheus.ask("query", query=query)["result"]
    return result


def test_every_query_of_the_dashboard_finds_something(prometheus: Prometheus) -> None:
    found = {}
    for name, query in QUERIES.items():
        for variable, value in CHOSEN.items():
            query = query.replace(variable, value)
        found[name] = len(ask(prometheus, query))
    assert [name for name, series in found.items() if not series] == []


def test_every_alert_can_be_judged(prometheus: Prometheus) -> None:
    """And nothing is wrong with a system that nothing is wrong with, but what other tests did to it."""
    rules = [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]
    assert rules
    wait_for(lambda: _judged(prometheus), DEADLINE, "the judgement of every alert", prometheus.process)


def _judged(prometheus: Prometheus) -> bool:
    rules = [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]
    return all(rule["health"] == "ok" for rule in rules)
