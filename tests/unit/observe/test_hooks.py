"""What the request path reports becomes metrics and log lines."""

from __future__ import annotations

import json
from queue import SimpleQueue

from authz_sidecar.core.verdicts import Answered, Code, Decision, Failure, FaultCode, Verdict
from authz_sidecar.observe.decision_log import DecisionLog
from authz_sidecar.observe.hooks import RequestHooks
from authz_sidecar.observe.lines import LineQueue
from authz_sidecar.observe.metrics import Metrics
from authz_sidecar.observe.recent import RecentRefusals


def test_a_failure_and_its_answer_are_counted_and_logged() -> None:
    lines, metrics = LineQueue(SimpleQueue()), Metrics()
    hooks = RequestHooks(
        metrics, DecisionLog(lines, lambda: 0.0, sample_allows=0), RecentRefusals(lambda: 0.0)
    )
    hooks.failed(Failure("r1", 431, FaultCode.HEAD_TOO_LARGE, "192.0.2.1"))
    hooks.answered(Answered("r1", 431, 0.25, "192.0.2.1"))
    exposition = metrics.exposition()[0].decode().splitlines()
    assert 'authz_failures_total{code="head_too_large"} 1.0' in exposition
    assert 'authz_responses_total{class="4xx"} 1.0' in exposition
    failure, answer = map(json.loads, lines.take())
    assert failure == {
        "type": "failure",
        "at": "1970-01-01T00:00:00.000000Z",
        "request_id": "r1",
        "status": 431,
        "code": "head_too_large",
        "peer": "192.0.2.1",
        "detail": "",
    }
    assert answer == {
        "type": "answer",
        "at": "1970-01-01T00:00:00.000000Z",
        "request_id": "r1",
        "status": 431,
        "seconds": 0.25,
        "peer": "192.0.2.1",
    }


def test_an_answer_is_told_of_when_what_came_before_it_was() -> None:
    """Allows that are not sampled leave no line at all, and everything is counted."""
    lines, metrics = LineQueue(SimpleQueue()), Metrics()
    hooks = RequestHooks(
        metrics, DecisionLog(lines, lambda: 0.0, sample_allows=0), RecentRefusals(lambda: 0.0)
    )
    for code in (Code.SAFE_METHOD, Code.NO_RULE):
        told = hooks.decided(Decision("r", "GET", "/", Verdict(code), 0), 0.0)
        hooks.answered(Answered("r", 200, 0.25, "", told))
    assert [json.loads(line)["type"] for line in lines.take()] == ["decision", "answer"]
    assert 'authz_responses_total{class="2xx"} 2.0' in metrics.exposition()[0].decode().splitlines()
