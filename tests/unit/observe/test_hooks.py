"""What the request path reports becomes metrics and log lines."""

from __future__ import annotations

import io
import json

from authz_sidecar.core.verdicts import Failure, FaultCode
from authz_sidecar.observe.decision_log import DecisionLog
from authz_sidecar.observe.hooks import RequestHooks
from authz_sidecar.observe.metrics import Metrics


def test_a_failure_and_its_answer_are_counted_and_logged() -> None:
    stream, metrics = io.StringIO(), Metrics()
    log = DecisionLog(wall=lambda: 1000.5, sample_allows=0, stream=stream)
    log.start()
    hooks = RequestHooks(metrics, log)
    hooks.failed(Failure("r1", 431, FaultCode.HEAD_TOO_LARGE, "192.0.2.1"))
    hooks.answered(431, 0.25)
    log.stop()
    exposition = metrics.exposition()[0].decode().splitlines()
    assert 'authz_failures_total{code="head_too_large"} 1.0' in exposition
    assert 'authz_responses_total{class="4xx"} 1.0' in exposition
    assert json.loads(stream.getvalue()) == {
        "type": "failure",
        "at": 1000.5,
        "request_id": "r1",
        "status": 431,
        "code": "head_too_large",
        "peer": "192.0.2.1",
    }
