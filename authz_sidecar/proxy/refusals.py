"""Answers the sidecar gives itself: problem details (RFC 9457) with a stable `code`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from authz_sidecar.core.errors import UpstreamError, UpstreamTimeout
from authz_sidecar.core.fields import Fields
from authz_sidecar.core.policy import MUTATING_METHODS, SAFE_METHODS
from authz_sidecar.core.verdicts import Code, Decision
from authz_sidecar.proxy.messages import Fault

RETRY_AFTER_SECONDS = 1

UPSTREAM_TIMEOUT: Final = Fault(504, "upstream_timeout", "the service did not answer in time")
UPSTREAM_UNREACHABLE: Final = Fault(502, "upstream_unreachable", "the service could not be reached")


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete response. `headers` hold everything but the connection's own fields."""

    status: int
    reason: str
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


def refusal(decision: Decision) -> Answer:
    """The answer to a request that is not forwarded."""
    extra = _challenge(decision)
    if decision.status == HTTPStatus.SERVICE_UNAVAILABLE:
        extra = ((b"Retry-After", b"%d" % RETRY_AFTER_SECONDS),)
    elif decision.status == HTTPStatus.METHOD_NOT_ALLOWED:
        extra = ((b"Allow", ", ".join(sorted(SAFE_METHODS | MUTATING_METHODS)).encode()),)
    verdict = decision.verdict
    return problem(decision.status, verdict.code, verdict.detail, decision.request_id, extra)


def failure(fault: Fault, request_id: str) -> Answer:
    """The answer to a request that ends without the service's."""
    return problem(fault.status, fault.code, fault.detail, request_id)


def upstream_fault(error: UpstreamError) -> Fault:
    """What it is to the client that the protected service gave no answer."""
    return UPSTREAM_TIMEOUT if isinstance(error, UpstreamTimeout) else UPSTREAM_UNREACHABLE


def problem(
    status: int, code: str, detail: str, request_id: str, extra: tuple[tuple[bytes, bytes], ...] = ()
) -> Answer:
    """A problem document. `type` is `about:blank`, so `title` is the status phrase (RFC 9457 §4.2.1)."""
    phrase = HTTPStatus(status).phrase
    document = {
        "type": "about:blank",
        "title": phrase,
        "status": status,
        "detail": detail or phrase,
        "code": code,
        "request_id": request_id,
    }
    body = json.dumps(document).encode() + b"\n"
    headers = (
        (b"Content-Type", b"application/problem+json"),
        (b"Content-Length", b"%d" % len(body)),
        (b"Cache-Control", b"no-store"),
        (b"X-Request-Id", request_id.encode()),
        (b"Server", b"authz-sidecar"),
        *extra,
    )
    return Answer(status, phrase, headers, body)


def cross_origin(origins: frozenset[str], request: Fields) -> tuple[tuple[bytes, bytes], ...]:
    """What lets a browser's script from one of `origins` (`*`: any) read an answer (Fetch standard, CORS)."""
    if not origins:
        return ()
    sent = next(iter(request.values(b"origin")), b"")
    vary = (b"Vary", b"Origin")
    if "*" not in origins and sent.decode("latin-1") not in origins:
        return (vary,)
    exposed = b"Retry-After, WWW-Authenticate, X-Request-Id"
    return (
        (b"Access-Control-Allow-Origin", sent or b"*"),
        (b"Access-Control-Expose-Headers", exposed),
        vary,
    )


def _challenge(decision: Decision) -> tuple[tuple[bytes, bytes], ...]:
    """`WWW-Authenticate` as RFC 6750 §3 wants it: no error code where no token was sent."""
    code = decision.verdict.code
    if decision.status == HTTPStatus.UNAUTHORIZED:
        error = "" if code is Code.TOKEN_MISSING else "invalid_token"
    elif code is Code.PERMISSION_DENIED:
        error = "insufficient_scope"
    else:
        return ()
    challenge = 'Bearer realm="authz-sidecar"'
    if error:
        description = decision.verdict.detail.replace("\\", "").replace('"', "'")
        challenge += f', error="{error}", error_description="{description}"'
    return ((b"WWW-Authenticate", challenge.encode("ascii", "replace")),)
