"""What the request path reports becomes metrics and log lines."""

from __future__ import annotations

import json
from queue import SimpleQueue

from authz_sidecar.core.verdicts import Failure, FaultCode
from authz_sidecar.observe.decision_log import DecisionLog
from authz_sidecar.observe.hooks import RequestHooks
from authz_sidecar.observe.lines import LineQueue
from authz_sidecar.observe.metrics import Metrics


def test_a_failure_and_its_answer_are_counted_and_logged() -> None:
    lines, metrics = LineQueue(SimpleQueue()), Metrics()
    hooks = RequestHooks(metrics, DecisionLog(lines, lambda: 0.0, sample_allows=0))
    hooks.failed(Failure("r1", 431, FaultCode.HEAD_TOO_LARGE, "192.0.2.1"))
    hooks.answered(431, 0.25)
    exposition = metrics.exposition()[0].decode().splitlines()
    assert 'authz_failures_total{code="head_too_large"} 1.0' in exposition
    assert 'authz_responses_total{class="4xx"} 1.0' in exposition
    (line,) = lines.take()
    assert json.loads(line) == {
        "type": "failure",
        "at": "1970-01-01T00:00:00.000000Z",
        "request_id": "r1",
        "status": 431,
        "code": "head_too_large",
        "peer": "192.0.2.1",
    }
