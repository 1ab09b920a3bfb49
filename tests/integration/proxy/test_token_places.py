"""A token in a cookie or in a subprotocol: it is read, and neither reaches the service nor comes back."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from authz_sidecar.core.bearer import TokenPlaces
from lab.wire import Rig, running
from lab.wire.certificates import Contexts
from lab.wire.peers import wait_for

PLACES = TokenPlaces(subprotocol=True, cookie="token")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
CHANGE = b"POST /students/ HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n"
FROM_A_PAGE = b"Sec-Fetch-Site: same-origin\r\nOrigin: http://x\r\n"
ASK = (
    b"GET /socket/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nOrigin: http://x\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)
OFFER = b"Sec-WebSocket-Protocol: chat, authz.bearer.alice\r\n"
SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Protocol: %b\r\n\r\n"
)


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with running(answer=OK, places=PLACES) as rig:
        yield rig


PASSES = {
    "a change": CHANGE + FROM_A_PAGE + b"Cookie: a=1; token=alice; b=2\r\n",
    "a read that no rule governs": b"GET /students/ HTTP/1.1\r\nHost: x\r\nCookie: a=1; token=bad; b=2\r\n",
    "a change that anyone may make": CHANGE.replace(b"/students/", b"/open/x")
    + b"Cookie: a=1; token=bad; b=2\r\n",
    "a change by the header": CHANGE
    + b"Authorization: Bearer alice\r\nCookie: a=1; token=bad; b=2; token=worse\r\n",
}


@pytest.mark.parametrize("request_bytes", PASSES.values(), ids=PASSES.keys())
async def test_a_cookie_does_not_go_on(rig: Rig, request_bytes: bytes) -> None:
    assert (await rig.ask(request_bytes + b"\r\n")).startswith(b"HTTP/1.1 200 ")
    assert b"\r\nCookie: a=1; b=2\r\n" in rig.upstream.received
    assert b"token" not in rig.upstream.received
    assert (b"Authorization: Bearer alice" in request_bytes) is (b"Authorization" in rig.upstream.received)


REFUSED = {
    "another site": (CHANGE + b"Sec-Fetch-Site: cross-site\r\nCookie: token=alice\r\n", b"cross_origin"),
    "another origin": (CHANGE + b"Origin: https://evil.example\r\nCookie: token=alice\r\n", b"cross_origin"),
    "nobody knows whose page": (CHANGE + b"Cookie: token=alice\r\n", b"cross_origin"),
    "a WebSocket of another origin": (
        ASK.replace(b"//x\r", b"//evil.example\r") + b"Cookie: token=alice\r\n",
        b"cross_origin",
    ),
    "TLS that nobody spoke of": (CHANGE + b"Origin: https://x\r\nCookie: token=alice\r\n", b"cross_origin"),
    "TLS that anybody speaks of": (
        CHANGE + b"X-Forwarded-Proto: https\r\nOrigin: https://x\r\nCookie: token=alice\r\n",
        b"cross_origin",
    ),
    "two cookies": (CHANGE + FROM_A_PAGE + b"Cookie: token=alice; token=alice\r\n", b"token_invalid"),
    "a bad header before a good cookie": (
        CHANGE + FROM_A_PAGE + b"Authorization: Bearer bad\r\nCookie: token=alice\r\n",
        b"token_invalid",
    ),
    "a bad subprotocol before a good cookie": (
        ASK + OFFER.replace(b"alice", b"bad") + b"Cookie: token=alice\r\n",
        b"token_invalid",
    ),
    "a good token of who may not": (CHANGE + FROM_A_PAGE + b"Cookie: token=bob\r\n", b"permission_denied"),
    "a subprotocol for a change": (CHANGE + FROM_A_PAGE + OFFER, b"token_missing"),
    "the token's subprotocol alone": (ASK + OFFER.replace(b"chat, ", b""), b"subprotocol_missing"),
    "alone, where anyone may ask": (
        ASK.replace(b"/socket/", b"/elsewhere/") + OFFER.replace(b"chat, ", b""),
        b"subprotocol_missing",
    ),
}


@pytest.mark.parametrize(("request_bytes", "code"), REFUSED.values(), ids=REFUSED.keys())
async def test_nothing_of_what_is_refused_reaches_the_service(
    rig: Rig, request_bytes: bytes, code: bytes
) -> None:
    answer = await rig.ask(request_bytes + b"\r\n")
    assert b'"code": "%b"' % code in answer
    assert b"alice" not in answer
    assert rig.upstream.received == b""


async def test_a_page_over_tls(contexts: Contexts) -> None:
    async with running(answer=OK, places=PLACES, tls=contexts) as rig:
        request = CHANGE + b"Cookie: token=alice\r\nConnection: close\r\nOrigin: %b://x\r\n\r\n"
        assert b"cross_origin" in await rig.ask(request % b"http")
        assert (await rig.ask(request % b"https")).startswith(b"HTTP/1.1 200 ")


async def test_a_page_behind_a_trusted_proxy() -> None:
    async with running(answer=OK, places=PLACES, trusts=lambda _: True) as rig:
        page = b"Origin: https://www.example\r\nCookie: token=alice\r\n"
        said = b"X-Forwarded-Proto: https\r\nX-Forwarded-Host: www.example\r\n"
        assert (await rig.ask(CHANGE + page + said + b"\r\n")).startswith(b"HTTP/1.1 200 ")
        assert b"cross_origin" in await rig.ask(CHANGE + page + said + said + b"\r\n")
        assert b"cross_origin" in await rig.ask(CHANGE + page + b"\r\n")


async def test_another_header_does_not_go_on() -> None:
    async with running(answer=OK, places=TokenPlaces(b"x-token")) as rig:
        headers = b"X-Token: alice\r\nAuthorization: Basic eDp5\r\nCookie: token=1\r\n\r\n"
        assert (await rig.ask(CHANGE + headers)).startswith(b"HTTP/1.1 200 ")
        assert (await rig.ask(b"GET / HTTP/1.1\r\nHost: x\r\n" + headers)).startswith(b"HTTP/1.1 200 ")
        assert rig.upstream.received.count(b"Authorization: Basic eDp5\r\nCookie: token=1\r\n") == 2
        assert b"alice" not in rig.upstream.received


async def test_nor_does_any_of_it_as_a_trailer() -> None:
    trailers = b"Cookie: token=x\r\nX-Token: x\r\nX.Token: x\r\nSec-WebSocket-Protocol: authz.bearer.x\r\n"
    head = CHANGE.replace(b"Content-Length: 0", b"Transfer-Encoding: chunked") + b"X-Token: alice\r\n\r\n"
    places = TokenPlaces(b"x-token", subprotocol=True, cookie="token")
    async with running(answer=OK, places=places) as rig:
        await rig.ask(head + b"1\r\na\r\n0\r\n" + trailers + b"X-Sum: 1\r\n\r\n")
        await wait_for(lambda: rig.upstream.received.endswith(b"X-Sum: 1\r\n\r\n"))
        assert rig.upstream.received.endswith(b"\r\n0\r\nX-Sum: 1\r\n\r\n")


@pytest.mark.parametrize("chosen", [b"authz.bearer.alice", b"chat, AUTHZ.BEARER.x"])
@pytest.mark.parametrize("status", [b"101 Switching Protocols", b"200 OK"])
async def test_a_service_that_answers_with_the_token_is_not_relayed(chosen: bytes, status: bytes) -> None:
    async with running(places=PLACES) as rig:
        client = await rig.client()
        await client.send(ASK + OFFER + b"\r\n")
        peer = await rig.upstream.accept()
        assert b"\r\nSec-WebSocket-Protocol: chat\r\n" in await peer.contains(b"\r\n\r\n")
        await peer.send((SWITCH % chosen).replace(b"101 Switching Protocols", status))
        answer = await client.rest()
        assert answer.startswith(b"HTTP/1.1 502 ")
        assert b'"code": "subprotocol_echoed"' in answer
        assert b"alice" not in answer
        await peer.closed()
        assert [failure.code for failure in rig.observer.failures] == ["subprotocol_echoed"]
        assert b"alice" not in peer.received


async def test_without_the_setting_a_subprotocol_is_only_one() -> None:
    async with running(places=TokenPlaces(cookie="token")) as rig:
        client = await rig.client()
        await client.send(ASK + OFFER + b"Authorization: Bearer alice\r\n\r\n")
        peer = await rig.upstream.accept()
        assert OFFER in await peer.contains(b"\r\n\r\n")
        await peer.send(SWITCH % b"authz.bearer.alice")
        chosen = b"Sec-WebSocket-Protocol: authz.bearer.alice\r\n"
        assert chosen in await client.contains(b"\r\n\r\n")
