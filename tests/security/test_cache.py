"""What is remembered for one request, one user or one token never decides for another."""

from __future__ import annotations

import random
from typing import Any

import pytest

from lab.wire.front import Front, statuses

HOST = b" HTTP/1.1\r\nHost: localhost\r\n"
EMPTY = b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
TOKEN = b"Authorization: Bearer <%b>\r\n"

# What each may do, and how the service answers who may.
MATRIX: dict[bytes, tuple[bytes, int, set[bytes]]] = {
    b"POST /students/": (EMPTY, 400, {b"admin", b"bob"}),
    b"PATCH /students/1/": (EMPTY, 200, {b"admin", b"bob"}),
    b"PATCH /students/2/": (EMPTY, 200, {b"admin"}),
    b"PATCH /students/2/?": (EMPTY, 200, {b"admin"}),
    b"DELETE /students/999999/": (EMPTY, 404, {b"admin"}),
    b"PUT /students/999999/": (EMPTY, 404, {b"admin", b"bob"}),
    b"GET /students/3/": (b"\r\n", 200, {b"admin", b"carol"}),
    b"GET /students/1/": (b"\r\n", 200, {b"admin", b"bob", b"carol", b"alice", b""}),
    b"POST /open/students/": (EMPTY, 404, {b"admin", b"bob", b"carol", b"alice", b""}),
}
USERS = (b"admin", b"bob", b"carol", b"alice", b"")


def expected(line: bytes, user: bytes) -> int:
    _, status, allowed = MATRIX[line]
    return status if user in allowed else 403 if user else 401


async def test_every_decision_is_made_from_all_it_depends_on(front: Front) -> None:
    """Everybody asks for everything on one connection, several times, in any order.

    GHSA-qvp4-rpmr-xwrr, CVE-2026-33729, CVE-2025-46331, CVE-2026-34972, GHSA-4vrg-r928-h5vv: a decision
    was kept under less than all of that.
    """
    asked = [(line, user) for line in MATRIX for user in USERS] * 4
    random.Random(1).shuffle(asked)  # noqa: S311 (any order will do)
    requests = [line + HOST + (TOKEN % user if user else b"") + MATRIX[line][0] for line, user in asked]
    answered = statuses(await front.ask(b"".join(requests)))
    assert answered == [expected(line, user) for line, user in asked]
    arrived = [f"{request.method} {request.target}".encode() for request in await front.arrived()]
    assert arrived == [line for line, user in asked if user in MATRIX[line][2]]


# CVE-2026-55170: subjects that differ only in case, form, or by a separator. Somebody may read each as {0}.
SUBJECTS = [
    "{0} ",
    " {0}",
    "0{0}",
    "+{0}",
    "{0}.0",
    "{0}e0",
    "0x{0}",
    "{0}_",
    "_{0}",
    "{0}:",
    "u:{0}",
    "user:{0}",
    "{0}:user",
    "{0}\u00a0",
    "{0}\u200b",
    "{0}\u0301",
    "{0}/",
    "./{0}",
    "x/../{0}",
    "../subjects/{0}",
    "{0}?x=y",
    "{0}#x",
    "{0};x",
    "%3{0}",
    "{0}%00",
    "{0},2",
    "admin",
    "Admin",
    "ADMIN",
    "@revision",
    "@epoch",
    "None",
    "null",
    "true",
    "-{0}",
    "\ufeff{0}",
]


@pytest.mark.parametrize("pattern", SUBJECTS)
async def test_a_subject_is_nobody_but_itself(front: Front, issuer: Any, pattern: str) -> None:
    claims = issuer.claims("admin")
    await nobody(front, issuer.sign(issuer.header, claims | {"sub": pattern.format(claims["sub"])}))


@pytest.mark.parametrize("zero", ["\u0660", "\u0966", "\uff10", "\U0001d7ce"])
async def test_a_subject_in_other_digits_is_nobody(front: Front, issuer: Any, zero: str) -> None:
    claims = issuer.claims("admin")
    digits = "".join(chr(ord(zero) + int(digit)) for digit in claims["sub"])
    await nobody(front, issuer.sign(issuer.header, claims | {"sub": digits}))


async def nobody(front: Front, token: str) -> None:
    admin = b"DELETE /students/999999/" + HOST + TOKEN % b"admin" + b"\r\n"
    answer = await front.ask(admin + admin.replace(b"<admin>", token.encode()) + admin)
    assert statuses(answer) == [404, 401, 404]
    assert b'"subject_unknown"' in answer
    assert len(await front.arrived()) == 2


# GHSA-5hvv-m4w4-gf6v: who looks like a health check is let through.
PROBES = {
    "Kubernetes": b"User-Agent: kube-probe/1.33\r\n",
    "Google": b"User-Agent: GoogleHC/1.0\r\n",
    "Amazon": b"User-Agent: ELB-HealthChecker/2.0\r\n",
    "Azure": b"User-Agent: Edge Health Probe\r\n",
    "from here": b"X-Forwarded-For: 127.0.0.1\r\nX-Real-IP: 127.0.0.1\r\n",
    "of our own": b"User-Agent: authz-sidecar\r\n",
    "a preflight": b"Origin: http://x\r\nAccess-Control-Request-Method: DELETE\r\n",
    "a debugger": b"X-Debug: 1\r\nCookie: debug=1\r\n",
}


@pytest.mark.parametrize("fields", PROBES.values(), ids=PROBES.keys())
async def test_who_looks_harmless_is_decided_like_anybody(front: Front, fields: bytes) -> None:
    assert statuses(await front.ask(b"DELETE /students/1/" + HOST + fields + b"\r\n")) == [401]
    await front.nothing_arrived()


@pytest.mark.parametrize(
    "path", [b"/livez", b"/readyz", b"/healthz", b"/metrics", b"/ping", b"/robots.txt", b"/"]
)
async def test_a_path_that_looks_harmless_is_decided_like_any(front: Front, path: bytes) -> None:
    assert statuses(await front.ask(b"POST " + path + HOST + b"Content-Length: 0\r\n\r\n")) == [403]
    await front.nothing_arrived()
