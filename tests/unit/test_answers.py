"""Problem documents: what a refused client is told, and what it is not."""

from __future__ import annotations

import json

import pytest

from authz_sidecar import answers
from authz_sidecar.answers import Fault
from authz_sidecar.codes import TABLE
from authz_sidecar.core.errors import UpstreamTimeout, UpstreamUnreachable
from authz_sidecar.core.fields import of_request
from authz_sidecar.core.verdicts import FORWARDED, Code, Decision, FaultCode, Requirement, Verdict


def refused(code: Code, detail: str = "why") -> Decision:
    return Decision("req-1", "POST", "/students/", Verdict(code, detail), TABLE[code].status)


REFUSED = sorted(set(Code) - FORWARDED)
UNANSWERED = {FaultCode.PROXY_NOT_TRUSTED, FaultCode.PROXY_HEADER_MALFORMED}


def test_the_table_has_every_code_and_no_other() -> None:
    assert set(TABLE) == {*Code, *FaultCode}


def test_a_code_means_the_same_to_a_decision_and_to_the_byte_path() -> None:
    assert {str(code) for code in Code} & {str(code) for code in FaultCode} == {"method_unknown"}


@pytest.mark.parametrize("code", sorted(TABLE))
def test_whatever_is_not_forwarded_has_a_status_and_a_mend(code: str) -> None:
    row = TABLE[code]
    assert row.meaning
    assert bool(row.status) == (code not in FORWARDED | UNANSWERED)
    assert bool(row.mend) == (code not in FORWARDED)
    assert row.retry == "no" or row.status in {408, 500, 502, 503, 504}


@pytest.mark.parametrize("code", sorted(set(FaultCode) - UNANSWERED))
def test_a_failure_is_a_problem_document_with_its_code(code: FaultCode) -> None:
    document = json.loads(answers.failure(Fault(code), "req-1").body)
    told = (document["code"], document["status"], document["detail"], document["request_id"])
    assert told == (code, TABLE[code].status, TABLE[code].meaning, "req-1")
    assert json.loads(answers.failure(Fault(code, "more"), "r").body)["detail"] == "more"


@pytest.mark.parametrize("code", REFUSED)
def test_a_refusal_is_a_problem_document_with_its_code(code: Code) -> None:
    answer = answers.refusal(refused(code))
    document = json.loads(answer.body)
    headers = dict(answer.headers)
    assert answer.status == document["status"] == TABLE[code].status
    assert document["code"] == code
    assert document["request_id"] == "req-1"
    assert document["title"] == answer.reason
    assert headers[b"Content-Type"] == b"application/problem+json"
    assert headers[b"Content-Length"] == str(len(answer.body)).encode()
    assert headers[b"Cache-Control"] == b"no-store"


UNKNOWN = {
    *(Code.NOT_READY, Code.STALE, Code.UNAUDITED, Code.BEHIND),
    *(Code.GRANTS_UNKNOWN, Code.KEYS_UNKNOWN, Code.USER_FIELD_UNKNOWN),
}


def test_only_not_knowing_is_503() -> None:
    assert {code for code in REFUSED if TABLE[code].status == 503} == UNKNOWN


def test_a_missing_scope_is_named_as_rfc_6750_has_it() -> None:
    wanted = Requirement("any", ("a.b",), scopes=("a", "b"))
    decision = refused(Code.INSUFFICIENT_SCOPE)._replace(requirement=wanted)
    challenge = dict(answers.refusal(decision).headers)[b"WWW-Authenticate"]
    assert challenge.endswith(b'error="insufficient_scope", error_description="why", scope="a b"')


@pytest.mark.parametrize("code", sorted(UNKNOWN))
def test_not_knowing_is_503_and_says_when_to_retry(code: Code) -> None:
    answer = answers.refusal(refused(code))
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
    assert dict(answers.refusal(refused(code)).headers).get(b"WWW-Authenticate") == challenge


def test_a_challenge_cannot_be_broken_out_of() -> None:
    headers = dict(answers.refusal(refused(Code.TOKEN_INVALID, 'a" , x="\\é')).headers)
    assert headers[b"WWW-Authenticate"].endswith(b"error_description=\"a' , x='?\"")


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [(UpstreamUnreachable(), 502, "upstream_unreachable"), (UpstreamTimeout(), 504, "upstream_timeout")],
)
def test_an_upstream_failure_is_told_apart(error: Exception, status: int, code: str) -> None:
    answer = answers.failure(answers.upstream_fault(error), "req-1")
    assert answer.status == status
    assert json.loads(answer.body)["code"] == code


def test_a_method_that_is_not_proxied_is_answered_with_those_that_are() -> None:
    headers = dict(answers.refusal(refused(Code.METHOD_REFUSED)).headers)
    assert headers[b"Allow"] == b"DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"


ALLOWED = frozenset({"https://app.example"})


@pytest.mark.parametrize(
    ("origins", "origin", "allowed"),
    [
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
    answered = dict(answers.cross_origin(origins, sent))
    assert answered.get(b"Access-Control-Allow-Origin") == allowed
    with_credentials = allowed is not None and origins is ALLOWED
    assert (b"Access-Control-Allow-Credentials" in answered) is with_credentials
    assert b"Vary" in answered


BROWSER = b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
PREFERENCES = {
    "a browser": ([BROWSER], True),
    "HTML alone": ([b"text/html"], True),
    "HTML in another case, with JSON behind it": ([b"Text/HTML;q=0.9, application/json;q=0.8"], True),
    "two fields": ([b"application/json;q=0.1", b"text/html"], True),
    "nothing said": ([], False),
    "anything": ([b"*/*"], False),
    "a script": ([b"application/json, text/plain, */*"], False),
    "both alike": ([b"text/html, application/problem+json"], False),
    "rather JSON": ([b"text/html;q=0.5, application/json"], False),
    "no HTML": ([b"text/html;q=0"], False),
    "no weight": ([b"text/html;q=x"], False),
    "nonsense": ([b";;,q=1,text/html;q=nan"], False),
}


@pytest.mark.parametrize(("accept", "page"), PREFERENCES.values(), ids=PREFERENCES.keys())
def test_who_prefers_a_page_gets_one(accept: list[bytes], page: bool) -> None:
    request = of_request([(b"Accept", value) for value in accept])
    plain = answers.refusal(refused(Code.TOKEN_MISSING))
    answer = answers.addressed(plain, request, frozenset())
    headers = dict(answer.headers)
    assert (answer is plain) is not page
    assert headers[b"Content-Type"].startswith(b"text/html" if page else b"application/problem+json")
    assert headers[b"Content-Length"] == b"%d" % len(answer.body)
    assert b"token_missing" in answer.body
    assert answer.status == 401
    assert b"WWW-Authenticate" in headers


def test_what_a_page_shows_is_text() -> None:
    plain = answers.failure(Fault(FaultCode.MALFORMED_REQUEST, "<script>alert('&')</script>"), "r")
    answer = answers.addressed(plain, of_request([(b"Accept", BROWSER)]), frozenset())
    assert b"&lt;script&gt;alert(&#x27;&amp;&#x27;)&lt;/script&gt;" in answer.body
    assert b"<script" not in answer.body
    assert dict(answer.headers)[b"Content-Security-Policy"] == b"default-src 'none'"
