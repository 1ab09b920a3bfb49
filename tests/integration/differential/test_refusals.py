"""What the pipeline refuses is answered alike by the engine and by the oracle, and reaches nobody.

Where bytes are no request at all, or more than is taken, each byte path speaks for itself: those answers of
the engine are tested in tests/integration/proxy and tests/security.
"""

from __future__ import annotations

import json

import pytest

from lab.oracle.differences import told, told_by_oracle
from lab.oracle.ways import Ways, head
from lab.wire.messages import ask

ALICE, BOB = b"Authorization: Bearer alice", b"Authorization: Bearer bob"
ADD = "POST /students/"
TEN = b"Content-Length: 10"
CHUNKED = b"Transfer-Encoding: chunked"

REFUSED = {
    "no token": (head(ADD), b"", 401, "token_missing"),
    "a body": (head(ADD, TEN), b"0123456789", 401, "token_missing"),
    "a large body": (head(ADD, b"Content-Length: 300000"), bytes(300_000), 401, "token_missing"),
    "chunks": (head(ADD, CHUNKED), b"3\r\nabc\r\n0\r\nX: y\r\n\r\n", 401, "token_missing"),
    "another scheme": (head(ADD, b"Authorization: Basic eDp5"), b"", 401, "token_missing"),
    "an empty token": (head(ADD, b"Authorization:"), b"", 401, "token_missing"),
    "a wrong token": (head(ADD, b"Authorization: Bearer nobody"), b"", 401, "token_invalid"),
    "two tokens in one": (head(ADD, b"Authorization: Bearer a, Bearer b"), b"", 401, "token_invalid"),
    "two tokens": (head(ADD, ALICE, ALICE), b"", 400, "bad_header"),
    "two spellings of two tokens": (head(ADD, ALICE, ALICE.lower()), b"", 400, "bad_header"),
    "no permission": (head(ADD, BOB), b"", 403, "permission_denied"),
    "no permission to upgrade": (
        head("GET /socket/", BOB, b"Connection: Upgrade", b"Upgrade: websocket"),
        b"",
        403,
        "permission_denied",
    ),
    "HEAD under a rule for GET": (head("HEAD /socket/"), b"", 401, "token_missing"),
    "a body that waits for 100": (
        head(ADD, BOB, b"Expect: 100-continue", TEN),
        b"",
        403,
        "permission_denied",
    ),
    "no rule": (head("POST /elsewhere/", ALICE), b"", 403, "no_rule"),
    "no rule for this method": (head("PUT /students/", ALICE), b"", 403, "no_rule"),
    "TRACE": (head("TRACE /"), b"", 405, "method_refused"),
    "CONNECT": (head("CONNECT x:80"), b"", 405, "method_refused"),
    "a method of WebDAV": (head("MKCOL /students/", ALICE), b"", 501, "method_unknown"),
    "Connection names Host": (head("GET /", b"Connection: close, host"), b"", 400, "bad_header"),
    "Connection names the token": (head(ADD, ALICE, b"Connection: Authorization"), b"", 400, "bad_header"),
    "another method in a field": (head(ADD, ALICE, b"X-HTTP-Method: GET"), b"", 400, "method_override"),
    "another method, with _": (head("GET /", b"X_HTTP_Method_Override: PUT"), b"", 400, "method_override"),
    "an odd revision": (head(ADD, ALICE, b"Authz-Min-Revision: 7"), b"", 400, "revision_malformed"),
    "two revisions": (
        head(ADD, ALICE, *(b"Authz-Min-Revision: 3f2a9c1b.1",) * 2),
        b"",
        400,
        "revision_malformed",
    ),
    "absolute form of another server": (head("GET http://y/"), b"", 400, "bad_target"),
    "a hook": (head("GET /", b"X-Forwarded-Method: DELETE"), b"", 400, "looks_like_a_hook"),
    "a fragment": (head("GET /a#b"), b"", 400, "bad_target"),
    **{
        path: (head(f"DELETE {path}", ALICE), b"", 400, "bad_target")
        for path in (
            *("//students/1/", "/students//1/", "/students/./1/", "/x/../students/1/", "/students/1;x/"),
            *("/students\\1/", "/students%2F1/", "/students/%2e%2e/1/", "/students/1%00/", "/students/1%0A/"),
            *("/students/%zz/", "/students/1%", "/students/%c0%af/", "/students/%ff/", "/students/%2531/"),
        )
    },
}


@pytest.mark.parametrize(("head", "body", "status", "code"), REFUSED.values(), ids=REFUSED.keys())
async def test_the_same_refusal(ways: Ways, head: bytes, body: bytes, status: int, code: str) -> None:
    engine = await ask(ways.rig.port, head, body)
    oracle = await ask(ways.oracle_port, head, body)
    assert told_by_oracle(oracle, engine) == told(engine)
    assert (engine.status, engine.interim) == (status, ())
    if not head.startswith(b"HEAD"):
        assert json.loads(engine.body)["code"] == code
    assert not ways.rig.upstream.peers
