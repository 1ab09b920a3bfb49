"""Problem documents: what a refused client is told, and what it is not."""

from __future__ import annotations

import json

import pytest

from authz_sidecar.core.errors import UpstreamTimeout, UpstreamUnreachable
from authz_sidecar.core.fields import of_request
from authz_sidecar.core.verdicts import FORWARDED, Code, Decision, Verdict
from authz_sidecar.pipeline import STATUS
from authz_sidecar.proxy import refusals


def refused(code: Code, detail: str = "why") -> Decision:
    return Decision("req-1", "POST", "/students/", Verdict(code, detail), STATUS[code])


def test_every_code_is_either_forwarded_or_has_a_status() -> None:
    assert set(Code) == FORWARDED | set(STATUS)
    assert not FORWARDED & set(STATUS)


@pytest.mark.parametrize("code", sorted(STATUS))
def test_a_refusal_is_a_problem_document_with_its_code(code: Code) -> None:
    answer = refusals.refusal(refused(code))
    document = json.loads(answer.body)
    headers = dict(answer.headers)
    assert answer.status == document["status"] == STATUS[code]
    assert document["code"] == code
    assert document["request_id"] == "req-1"
    assert document["title"] == answer.reason
    assert headers[b"Content-Type"] == b"application/problem+json"
    assert headers[b"Content-Length"] == str(len(answer.body)).encode()
    assert headers[b"Cache-Control"] == b"no-store"


UNKNOWN = {Code.NOT_READY, Code.STALE, Code.BEHIND, Code.GRANTS_UNKNOWN, Code.KEYS_UNKNOWN}


@pytest.mark.parametrize("code", sorted(UNKNOWN))
def test_not_knowing_is_503_and_says_when_to_retry(code: Code) -> None:
    answer = refusals.refusal(refused(code))
    assert answer.status == 503
    assert (b"Retry-After", b"1") in answer.headers


@pytest.mark.parametrize(
    ("code", "challenge"),
    [
        (Code.TOKEN_MISSING, b'Bearer realm="authz-sidecar"'),
        (
            Code.TOKEN_EXPIRED,
            b'Bearer realm="authz-sidecar", error="invalid_token", error_description="why"',
        ),
        (
            Code.PERMISSION_DENIED,
            b'Bearer realm="authz-sidecar", error="insufficient_scope", error_description="why"',
        ),
        (Code.NO_RULE, None),
        (Code.STALE, None),
    ],
)
def test_the_challenge_follows_rfc_6750(code: Code, challenge: bytes | None) -> None:
    assert dict(refusals.refusal(refused(code)).headers).get(b"WWW-Authenticate") == challenge


def test_a_challenge_cannot_be_broken_out_of() -> None:
    headers = dict(refusals.refusal(refused(Code.TOKEN_INVALID, 'a" , x="\\é')).headers)
    assert headers[b"WWW-Authenticate"].endswith(b"error_description=\"a' , x='?\"")


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [(UpstreamUnreachable(), 502, "upstream_unreachable"), (UpstreamTimeout(), 504, "upstream_timeout")],
)
def test_an_upstream_failure_is_told_apart(error: Exception, status: int, code: str) -> None:
    answer = refusals.failure(refusals.upstream_fault(error), "req-1")
    assert answer.status == status
    assert json.loads(answer.body)["code"] == code


def test_a_method_that_is_not_proxied_is_answered_with_those_that_are() -> None:
    headers = dict(refusals.refusal(refused(Code.METHOD_REFUSED)).headers)
    assert headers[b"Allow"] == b"DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"


ALLOWED = frozenset({"https://app.example"})


@pytest.mark.parametrize(
    ("origins", "origin", "allowed"),
    [
        (frozenset(), b"https://app.example", None),
        (ALLOWED, b"https://app.example", b"https://app.example"),
        (ALLOWED, b"https://evil.example", None),
        (ALLOWED, b"https://app.example.evil", None),
        (ALLOWED, None, None),
        (frozenset({"*"}), b"https://any.example", b"https://any.example"),
    ],
)
def test_a_browser_may_read_an_answer_only_from_a_configured_origin(
    origins: frozenset[str], origin: bytes | None, allowed: bytes | None
) -> None:
    sent = of_request([] if origin is None else [(b"Origin", origin)])
    answered = dict(refusals.cross_origin(origins, sent))
    assert answered.get(b"Access-Control-Allow-Origin") == allowed
    assert (b"Vary" in answered) == bool(origins)
