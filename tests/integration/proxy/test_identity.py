"""Who asks reaches the service in headers of ours alone; an answer names its request if asked to."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from authz_sidecar.config.identity import IdentitySettings
from authz_sidecar.identity import IdentityHeaders
from lab.wire import Rig, running

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
GOOD, BAD = b"Authorization: Bearer alice\r\n", b"Authorization: Bearer eve\r\n"
FORGED = b"X-Authz-Subject: root\r\nx_authz_subject: root\r\nX.Authz.Subject: root\r\nX-Authz_Revision: 1\r\n"
TOLD = b"X-Authz-Subject: alice\r\nX-Authz-Revision: 3f2a9c1b.7\r\n"


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    settings = IdentitySettings(parts=("subject", "revision"))
    async with running(answer=OK, identity=IdentityHeaders(settings, "service", lambda: 0.0)) as rig:
        yield rig


REQUESTS = {
    "a read that no rule governs": (b"GET /students/", GOOD, TOLD),
    "a change that anyone may make": (b"POST /open/x", GOOD, TOLD),
    "a read without a token": (b"GET /students/", b"", b""),
    "a read with a bad token": (b"GET /students/", BAD, b""),
    "a change that anyone may make, with a bad token": (b"POST /open/x", BAD, b""),
    "a read with two kinds of token": (b"GET /students/", b"Authorization: Basic eDp5\r\n", b""),
}


@pytest.mark.parametrize(("line", "token", "told"), REQUESTS.values(), ids=REQUESTS.keys())
async def test_who_asks_is_told_where_nobody_has_to_be_known(
    rig: Rig, line: bytes, token: bytes, told: bytes
) -> None:
    request = line + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n" + token + FORGED + b"\r\n"
    assert (await rig.ask(request)).startswith(b"HTTP/1.1 200 ")
    sent = rig.upstream.received
    assert told in sent
    assert sent.lower().count(b"authz") == told.lower().count(b"authz")
    assert b"root" not in sent


async def test_who_asks_is_told_with_a_change(rig: Rig) -> None:
    request = b"POST /students/ HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n" + GOOD + FORGED + b"\r\n"
    assert (await rig.ask(request)).startswith(b"HTTP/1.1 200 ")
    assert b"X-Authz-Subject: alice\r\n" in rig.upstream.received
    assert b"root" not in rig.upstream.received


async def test_who_is_nobody_is_refused_as_ever(rig: Rig) -> None:
    request = b"POST /students/ HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n" + BAD + FORGED + b"\r\n"
    assert (await rig.ask(request)).startswith(b"HTTP/1.1 401 ")
    assert rig.upstream.received == b""


async def test_a_revocation_does_not_end_what_anyone_may_do() -> None:
    """That its token was good was found out for the service alone."""
    settings = IdentitySettings(parts=("subject",))
    async with running(identity=IdentityHeaders(settings, "service", lambda: 0.0)) as rig:
        client = await rig.client()
        await client.send(b"POST /open/x HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n" + GOOD + b"\r\n")
        peer = await rig.upstream.accept()
        await peer.contains(b"X-Authz-Subject: alice\r\n")
        rig.permissions.grants["alice"] = set()
        rig.server.reconsider(None)
        await peer.send(OK)
        assert (await client.contains(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("name", [b"X-Request-Id", b"X-Trace"])
async def test_an_answer_that_passes_carries_the_requests_id_if_asked_for(name: bytes) -> None:
    answer = b"HTTP/1.1 200 OK\r\nX-Request-ID: theirs\r\nContent-Length: 0\r\n\r\n"
    request = b"GET / HTTP/1.1\r\nHost: x\r\nX-Request-Id: mine\r\n\r\n"
    async with running(answer=answer) as rig:
        assert b"mine" not in await rig.ask(request)
        rig.shared.request_id_header = name
        answered = await rig.ask(request)
    assert name + b": mine\r\n" in answered
    assert (b"theirs" in answered) is (name != b"X-Request-Id")
