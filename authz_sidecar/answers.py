"""How every answer that the sidecar gives itself is worded; what its code means stands in `codes.TABLE`.

An answer is a problem document (RFC 9457). Its `type` stays `about:blank` and its `title` the phrase of the
status: a `type` has to be an absolute URI to be of use, because a relative one would be looked for at the
protected service, and the sidecar knows no address of its own documents. `code` says what a `type` would.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from html import escape
from http import HTTPStatus
from typing import Final

from authz_sidecar.codes import TABLE
from authz_sidecar.core.errors import UpstreamError, UpstreamTimeout
from authz_sidecar.core.fields import FieldList, Fields
from authz_sidecar.core.rules import MUTATING_METHODS, SAFE_METHODS
from authz_sidecar.core.verdicts import Code, Decision, FaultCode

RETRY_AFTER_SECONDS: Final = 1


@dataclass(frozen=True, slots=True)
class Fault:
    """Why the byte path ends a request by itself: it is none, is over a limit or cannot be served."""

    code: FaultCode
    detail: str = ""
    """What is known of this case beyond the code's meaning."""


UPSTREAM_TIMEOUT: Final = Fault(FaultCode.UPSTREAM_TIMEOUT)
UPSTREAM_UNREACHABLE: Final = Fault(FaultCode.UPSTREAM_UNREACHABLE)
INTERNAL_ERROR: Final = Fault(FaultCode.INTERNAL_ERROR)
SUBPROTOCOL_ECHOED: Final = Fault(FaultCode.SUBPROTOCOL_ECHOED)


def upstream_fault(error: UpstreamError) -> Fault:
    """What it is to the client that the protected service gave no answer."""
    return UPSTREAM_TIMEOUT if isinstance(error, UpstreamTimeout) else UPSTREAM_UNREACHABLE


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete response. `headers` hold everything but the connection's own fields."""

    status: int
    reason: str
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


def refusal(decision: Decision) -> Answer:
    """The answer to a request that is not forwarded."""
    verdict = decision.verdict
    extra = _challenge(decision)
    if verdict.code is Code.METHOD_REFUSED:
        extra = ((b"Allow", ", ".join(sorted(SAFE_METHODS | MUTATING_METHODS)).encode()),)
    return _problem(verdict.code, verdict.detail, decision.request_id, extra)


def leave(request_id: str, more: FieldList | None = None) -> Answer:
    """The answer to a gateway whose request may go on. `more`: what it is to tell the service."""
    return Answer(HTTPStatus.OK, HTTPStatus.OK.phrase, (*_own_headers(b"", request_id), *(more or ())), b"")


def document(body: bytes, request_id: str) -> Answer:
    """An answer that is no refusal, in JSON."""
    headers = ((b"Content-Type", b"application/json"), *_own_headers(body, request_id))
    return Answer(HTTPStatus.OK, HTTPStatus.OK.phrase, headers, body)


def failure(fault: Fault, request_id: str) -> Answer:
    """The answer to a request that ends without the service's."""
    return _problem(fault.code, fault.detail, request_id)


def _problem(code: str, detail: str, request_id: str, extra: tuple[tuple[bytes, bytes], ...] = ()) -> Answer:
    row = TABLE[code]
    phrase = HTTPStatus(row.status).phrase
    document = {
        "type": "about:blank",
        "title": phrase,
        "status": row.status,
        "detail": detail or row.meaning,
        "code": code,
        "request_id": request_id,
    }
    if row.status == HTTPStatus.SERVICE_UNAVAILABLE:
        extra = (*extra, (b"Retry-After", b"%d" % RETRY_AFTER_SECONDS))
    body = json.dumps(document).encode() + b"\n"
    headers = (_PROBLEM, *_own_headers(body, request_id), *extra)
    return Answer(row.status, phrase, headers, body)


def _own_headers(body: bytes, request_id: str) -> tuple[tuple[bytes, bytes], ...]:
    return (
        (b"Content-Length", b"%d" % len(body)),
        (b"Cache-Control", b"no-store"),
        (b"X-Request-Id", request_id.encode()),
        (b"Server", b"authz-sidecar"),
    )


def addressed(answer: Answer, request: Fields, origins: frozenset[str]) -> Answer:
    """A refusal as this client wants it: a page where it prefers one, readable by scripts from `origins`."""
    if answer.headers[0] == _PROBLEM and _prefers_html(request):
        answer = _page(answer)
    if not origins:
        return answer
    return replace(answer, headers=(*answer.headers, *cross_origin(origins, request)))


_PROBLEM: Final = (b"Content-Type", b"application/problem+json")
_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{status} {title}</title></head>
<body><h1>{title}</h1><p>{detail}</p>
<p>Code <code>{code}</code>, request <code>{request_id}</code></p></body></html>
"""


def _page(answer: Answer) -> Answer:
    """The same for a person to look at. Nothing in it runs, whatever it shows."""
    told = json.loads(answer.body)
    body = _PAGE.format(**{name: escape(str(value)) for name, value in told.items()}).encode()
    kept = [header for header in answer.headers[1:] if header[0] != b"Content-Length"]
    headers = (
        (b"Content-Type", b"text/html; charset=utf-8"),
        (b"Content-Length", b"%d" % len(body)),
        (b"Content-Security-Policy", b"default-src 'none'"),
        (b"X-Content-Type-Options", b"nosniff"),
        *kept,
    )
    return replace(answer, headers=headers, body=body)


def _prefers_html(request: Fields) -> bool:
    """Whether `Accept` ranks HTML above JSON (RFC 9110 §12.5.1)."""
    ranks = dict[bytes, float]()
    for value in request.values(b"accept"):
        for part in value.lower().split(b","):
            kind, *parameters = [each.strip() for each in part.split(b";")]
            ranks[kind] = max((_weight(each) for each in parameters if each.startswith(b"q=")), default=1.0)
    json_kinds = (b"application/problem+json", b"application/json", b"application/*", b"*/*")
    return ranks.get(b"text/html", 0.0) > next((ranks[kind] for kind in json_kinds if kind in ranks), 0.0)


def _weight(parameter: bytes) -> float:
    return float(parameter[2:]) if _WEIGHT.fullmatch(parameter) else 0.0


_WEIGHT: Final = re.compile(rb"q=[01](\.[0-9]{0,3})?")


def cross_origin(origins: frozenset[str], request: Fields) -> FieldList:
    """What lets a browser's script from one of `origins` (`*`: any) read an answer (Fetch standard, CORS)."""
    sent = next(iter(request.values(b"origin")), b"")
    vary = (b"Vary", b"Origin")
    if "*" not in origins and sent.decode("latin-1") not in origins:
        return [vary]
    exposed = b"Retry-After, WWW-Authenticate, X-Request-Id"
    named = sent.decode("latin-1") in origins  # a script of anybody else may read, but not as the user
    credentials = [(b"Access-Control-Allow-Credentials", b"true")] if named else []
    return [
        (b"Access-Control-Allow-Origin", sent or b"*"),
        *credentials,
        (b"Access-Control-Expose-Headers", exposed),
        vary,
    ]


def _challenge(decision: Decision) -> tuple[tuple[bytes, bytes], ...]:
    """`WWW-Authenticate` as RFC 6750 §3 wants it: no error code where no token was sent."""
    code, detail = decision.verdict.code, decision.verdict.detail
    if TABLE[code].status == HTTPStatus.UNAUTHORIZED:
        error = "" if code is Code.TOKEN_MISSING else "invalid_token"
    elif code in (Code.PERMISSION_DENIED, Code.INSUFFICIENT_SCOPE):
        error = "insufficient_scope"
    else:
        return ()
    challenge = 'Bearer realm="authz-sidecar"'
    if error:
        description = detail.replace("\\", "").replace('"', "'")
        challenge += f', error="{error}", error_description="{description}"'
    if code is Code.INSUFFICIENT_SCOPE and decision.requirement is not None:
        challenge += f', scope="{" ".join(decision.requirement.scopes)}"'
    return ((b"WWW-Authenticate", challenge.encode("ascii", "replace")),)
