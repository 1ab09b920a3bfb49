"""What the decision log tells of, and that each of its lines is what `json.dumps` would have written."""

from __future__ import annotations

import json
from queue import SimpleQueue
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz_sidecar.core.entities import Position
from authz_sidecar.core.verdicts import (
    Answered,
    Code,
    Decision,
    Failure,
    FaultCode,
    Identity,
    Own,
    Requirement,
    Verdict,
)
from authz_sidecar.observe.composed import Composer, shown
from authz_sidecar.observe.decision_log import DecisionLog
from authz_sidecar.observe.lines import LineQueue
from authz_sidecar.observe.log_fields import ANSWER_FIELDS, DECISION_FIELDS, FAILURE_FIELDS, RETRY_FIELDS

AT = 1_000_000_000.25
WRITTEN_AT = "2001-09-09T01:46:40.250000Z"
IDENTITY = Identity("17", "key-1", 2e9, None, 4, None, issuer="https://issuer", user_field="pk")
POSITION = Position("3f2a9c1b-0000-4000-8000-000000000000", 42, "2026-11-22T09:00:00.000000Z")
TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxNyJ9.c2ln"


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


def logged(*decisions: Decision, sample_allows: float = 1.0) -> list[dict[str, Any]]:
    queue = LineQueue(SimpleQueue())
    log = DecisionLog(queue, lambda: AT, sample_allows)
    for each in decisions:
        log.decided(each)
    return list(map(json.loads, queue.take()))


def test_a_line_names_everything_the_decision_was_made_from() -> None:
    (line,) = logged(decision(Code.PERMISSION_DENIED))
    assert line == {
        "type": "decision",
        "at": WRITTEN_AT,
        "request_id": "r1",
        "subject": "17",
        "issuer": "https://issuer",
        "user_field": "pk",
        "token_generation": 4,
        "kid": "key-1",
        "method": "POST",
        "target": "/students/",
        "websocket": False,
        "rule": "POST /students/",
        "quantifier": "any",
        "permissions": ["students.add_student"],
        "own": None,
        "own_claim": None,
        "scopes": [],
        "max_staleness": None,
        "policy": "abc",
        "owns": None,
        "host": None,
        "outcome": "refused",
        "enforced": True,
        "revoking": False,
        "status": 403,
        "code": "permission_denied",
        "detail": "why",
        "epoch": POSITION.epoch,
        "revision": 42,
        "revision_at": "2026-11-22T09:00:00.000000Z",
        "staleness": 0.25,
    }


def test_every_field_is_documented_in_its_order() -> None:
    (line,) = logged(decision(Code.GRANTED))
    assert list(line) == list(DECISION_FIELDS)
    failure = Composer().failure(Failure("r", 400, FaultCode.MALFORMED_REQUEST, ""), AT)
    assert list(json.loads(failure)) == list(FAILURE_FIELDS)
    answer = Composer().answer(Answered("r", 200, 0.5, ""), AT)
    assert list(json.loads(answer)) == list(ANSWER_FIELDS)
    assert list(json.loads(Composer().retry("r", AT))) == list(RETRY_FIELDS)


def test_sampling_drops_allows_and_never_refusals() -> None:
    lines = logged(decision(Code.GRANTED), decision(Code.PERMISSION_DENIED), sample_allows=0)
    assert [line["code"] for line in lines] == ["permission_denied"]


@pytest.mark.parametrize(
    ("target", "wanted"),
    [
        ("/students/?access_token=secret", "/students/"),
        (f"/students/{TOKEN}/", "/students/(token)/"),
        (f"/#access_token={TOKEN}", "/#access_token=(token)"),
        ("/eyJ/", "/eyJ/"),
    ],
)
def test_a_target_is_logged_without_secrets(target: str, wanted: str) -> None:
    assert shown(target) == wanted


# A reference that is slow and obviously right, for any values at all.

TEXT = st.text(st.characters(exclude_categories=()), max_size=20)
SECONDS = st.integers(0, 2**40).map(lambda millionths: millionths / 2**20)
IDENTITIES = st.builds(
    Identity,
    TEXT,
    TEXT,
    SECONDS,
    st.none(),
    st.none() | st.integers(0),
    st.none(),
    issuer=TEXT,
    user_field=st.none() | TEXT,
)
VERDICTS = st.builds(
    Verdict,
    st.sampled_from(Code),
    TEXT,
    st.none() | st.builds(Position, TEXT, st.integers(0), st.none() | TEXT),
    st.none() | SECONDS,
)
REQUIREMENTS = st.builds(
    Requirement,
    st.sampled_from(["anyone", "any", "all"]),
    st.tuples(TEXT, TEXT),
    own=st.none() | st.builds(Own, TEXT, st.none() | TEXT),
    scopes=st.tuples(TEXT),
    max_staleness=st.sampled_from([0.5, 30.0]),
)
DECISIONS = st.builds(
    Decision,
    request_id=TEXT,
    method=TEXT,
    target=TEXT,
    verdict=VERDICTS,
    status=st.sampled_from([0, 403, 503]),
    rule=st.none() | TEXT,
    requirement=st.none() | REQUIREMENTS,
    identity=st.none() | IDENTITIES,
    enforced=st.booleans(),
    policy=TEXT,
    revoking=st.booleans(),
    owns=st.none() | st.booleans(),
    host=st.none() | TEXT,
)


def reference(decision: Decision) -> dict[str, Any]:
    identity, requirement, verdict = decision.identity, decision.requirement, decision.verdict
    position = verdict.position
    return {
        "type": "decision",
        "at": WRITTEN_AT,
        "request_id": decision.request_id,
        "subject": identity.subject if identity else None,
        "issuer": identity.issuer if identity else None,
        "user_field": identity.user_field if identity else None,
        "token_generation": identity.token_generation if identity else None,
        "kid": identity.key_id if identity else None,
        "method": decision.method,
        "target": shown(decision.target),
        "websocket": decision.websocket,
        "rule": decision.rule,
        "quantifier": requirement.quantifier if requirement else None,
        "permissions": requirement.permissions if requirement else (),
        "own": requirement.own.parameter if requirement and requirement.own else None,
        "own_claim": requirement.own.claim if requirement and requirement.own else None,
        "scopes": requirement.scopes if requirement else (),
        "max_staleness": requirement.max_staleness if requirement else None,
        "policy": decision.policy,
        "owns": decision.owns,
        "host": decision.host,
        "outcome": "allowed" if verdict.allowed else "refused",
        "enforced": decision.enforced,
        "revoking": decision.revoking,
        "status": decision.status,
        "code": verdict.code,
        "detail": verdict.detail,
        "epoch": position.epoch if position else None,
        "revision": position.revision if position else None,
        "revision_at": position.at if position else None,
        "staleness": None if verdict.staleness is None else int(verdict.staleness * 1e6) / 1e6,
    }


@given(st.lists(DECISIONS, max_size=4))
def test_a_composed_line_is_what_json_would_write(decisions: list[Decision]) -> None:
    composer = Composer()
    for each in (*decisions, *decisions):
        line = composer.decision(each, AT)
        assert line.isascii()
        assert line.index("\n") == len(line) - 1
        wanted = json.loads(json.dumps(reference(each)))
        written = json.loads(line, parse_constant=pytest.fail)
        assert written.pop("staleness") == pytest.approx(wanted.pop("staleness"), abs=2e-6)
        assert written == wanted


@given(st.builds(Failure, TEXT, st.integers(0, 599), st.sampled_from(FaultCode), TEXT, TEXT))
def test_so_is_a_failure(failure: Failure) -> None:
    line = Composer().failure(failure, AT)
    wanted = {"type": "failure", "at": WRITTEN_AT, **failure._asdict()}
    assert line.index("\n") == len(line) - 1
    assert json.loads(line) == json.loads(json.dumps(wanted))


@given(st.builds(Answered, TEXT, st.integers(0, 599), SECONDS, TEXT))
def test_so_is_an_answer(answered: Answered) -> None:
    line = Composer().answer(answered, AT)
    wanted = {"type": "answer", "at": WRITTEN_AT, **answered._asdict()}
    for counted in ("told", "upstream", "trace_id"):
        del wanted[counted]
    assert line.index("\n") == len(line) - 1
    written = json.loads(line)
    assert written.pop("seconds") == pytest.approx(wanted.pop("seconds"), abs=2e-6)
    assert written == json.loads(json.dumps(wanted))
