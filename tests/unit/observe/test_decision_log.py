"""The decision log never blocks a request, and never holds a token."""

from __future__ import annotations

import io
import json
import threading

import pytest

from authz_sidecar.core.entities import Position
from authz_sidecar.core.verdicts import Code, Decision, Failure, FaultCode, Identity, Requirement, Verdict
from authz_sidecar.observe import decision_log
from authz_sidecar.observe.decision_log import DecisionLog

IDENTITY = Identity("17", "key-1", 2e9, None, 4, None)
POSITION = Position("3f2a9c1b-0000-4000-8000-000000000000", 42, "2026-11-22T09:00:00.000000Z")


def decision(code: Code, request_id: str = "r1") -> Decision:
    return Decision(
        request_id=request_id,
        method="POST",
        target="/students/?token=secret",
        verdict=Verdict(code, "why", POSITION, 0.25),
        status=0 if code is Code.GRANTED else 403,
        rule="POST /students/",
        requirement=Requirement("any", ("students.add_student",)),
        identity=IDENTITY,
        policy="abc",
    )


def logged(*decisions: Decision, sample_allows: float = 1.0) -> list[dict[str, object]]:
    stream = io.StringIO()
    log = DecisionLog(wall=lambda: 1000.5, sample_allows=sample_allows, stream=stream)
    log.start()
    for each in decisions:
        log.record(each)
    log.stop()
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_names_everything_the_decision_was_made_from() -> None:
    (line,) = logged(decision(Code.PERMISSION_DENIED))
    assert line == {
        "type": "decision",
        "at": 1000.5,
        "request_id": "r1",
        "subject": "17",
        "token_generation": 4,
        "method": "POST",
        "target": "/students/",
        "rule": "POST /students/",
        "quantifier": "any",
        "permissions": ["students.add_student"],
        "policy": "abc",
        "outcome": "refused",
        "enforced": True,
        "revoking": False,
        "status": 403,
        "code": "permission_denied",
        "epoch": POSITION.epoch,
        "revision": 42,
        "revision_at": "2026-11-22T09:00:00.000000Z",
        "staleness": 0.25,
    }


def test_every_field_is_documented_in_its_order() -> None:
    (line,) = logged(decision(Code.GRANTED))
    assert list(line) == list(decision_log.DECISION_FIELDS)
    failure = decision_log.failure_line(Failure("r", 400, FaultCode.MALFORMED_REQUEST, ""), 0.0)
    assert list(failure) == list(decision_log.FAILURE_FIELDS)


def test_sampling_drops_allows_and_never_refusals() -> None:
    lines = logged(decision(Code.GRANTED), decision(Code.PERMISSION_DENIED), sample_allows=0)
    assert [line["code"] for line in lines] == ["permission_denied"]


class StuckStream(io.StringIO):
    """A stream whose writes wait until they are let go."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()

    def write(self, text: str) -> int:
        self.go.wait()
        return super().write(text)


def test_a_stuck_stream_costs_lines_that_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decision_log, "QUEUE_LINES", 3)
    stream = StuckStream()
    log = DecisionLog(wall=lambda: 0.0, stream=stream)
    log.start()
    for number in range(10):
        log.record(decision(Code.GRANTED, str(number)))
    dropped = log.dropped
    stream.go.set()
    log.stop()
    assert dropped >= 6  # three queued, and at most one in the writer's hands
    assert len(stream.getvalue().splitlines()) == 10 - dropped


def test_failures_share_the_queue_and_never_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decision_log, "QUEUE_LINES", 3)
    stream = StuckStream()
    log = DecisionLog(wall=lambda: 0.0, stream=stream)
    log.start()
    for _ in range(10):
        log.record_failure(Failure("r", 400, FaultCode.MALFORMED_REQUEST, ""))
    dropped = log.dropped
    stream.go.set()
    log.stop()
    assert dropped >= 6
    assert len(stream.getvalue().splitlines()) == 10 - dropped


class FullDisk(io.StringIO):
    """A stream that fails until there is room again."""

    def __init__(self) -> None:
        super().__init__()
        self.full = True

    def write(self, text: str) -> int:
        if self.full:
            self.full = False
            raise OSError("no space left on device")
        return super().write(text)


def test_a_line_that_cannot_be_written_is_counted_and_the_next_one_is_tried() -> None:
    stream = FullDisk()
    log = DecisionLog(wall=lambda: 0.0, stream=stream)
    log.start()
    log.record(decision(Code.GRANTED, "lost"))
    log.record(decision(Code.GRANTED, "kept"))
    log.stop()
    assert log.dropped == 1
    assert [json.loads(text)["request_id"] for text in stream.getvalue().splitlines()] == ["kept"]
