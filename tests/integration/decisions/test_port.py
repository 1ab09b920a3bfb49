"""The decisions port over real sockets: its answers, its bounds, and what is told of it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import pytest
from aiohttp import web

from authz_sidecar.config.decisions import DecisionsSettings, ForwardedHeaders
from authz_sidecar.config.identity import IdentitySettings
from authz_sidecar.config.limits import ProxyLimits
from authz_sidecar.core.bearer import TokenPlaces
from authz_sidecar.decisions.authzen import AuthZen
from authz_sidecar.decisions.check import Check
from authz_sidecar.decisions.server import BoundedServer, DecisionsPort
from authz_sidecar.identity import IdentityHeaders
from authz_sidecar.pipeline import AUTHORIZATION
from lab.wire.decisions import Clock, Observer, Permissions, pipeline
from lab.wire.peers import Client

PAIR = ForwardedHeaders("X-Forwarded-Method", "X-Forwarded-Uri")
ASKED = b"GET /check HTTP/1.1\r\nHost: x\r\nX-Forwarded-Method: %b\r\nX-Forwarded-Uri: %b\r\n%b\r\n"
ALICE, BOB = b"Authorization: Bearer alice\r\n", b"Authorization: Bearer bob\r\n"
CHANGE = (b"PATCH", b"/students/1/")


class Door(NamedTuple):
    """The port and what it was decided with."""

    port: int
    observer: Observer
    permissions: Permissions
    server: BoundedServer

    async def ask(self, request: bytes) -> tuple[int, dict[str, str], bytes]:
        """Status, headers in lower case, body."""
        async with await Client.connect(self.port) as client:
            await client.send(request.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
            head, _, body = (await client.closed()).partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:])
        return int(lines[0].split()[1]), {name.lower(): value for name, value in headers.items()}, body

    async def code(self, request: bytes) -> tuple[int, str]:
        status, _, body = await self.ask(request)
        return status, str(json.loads(body)["code"])


@asynccontextmanager
async def opened(
    source: ForwardedHeaders | None = PAIR,
    *,
    enforced: bool = True,
    limits: ProxyLimits | None = None,
    identity: IdentityHeaders | None = None,
    places: TokenPlaces = AUTHORIZATION,
) -> AsyncIterator[Door]:
    limits = limits or ProxyLimits()
    permissions, observer, clock = Permissions(), Observer(), Clock()
    decides = pipeline(permissions, enforced=enforced, identifies=identity is not None, places=places)

    async def livez(_request: web.BaseRequest) -> web.Response:
        return web.Response(text="alive")

    check = Check(decides, observer, clock, source, limits.target_bytes, identity)
    authzen = AuthZen(decides, observer, clock, DecisionsSettings(), limits.body_seconds)
    port = DecisionsPort(check, authzen, {"/livez": livez}, observer, clock, limits)
    server = BoundedServer(port, observer, limits)
    runner = web.ServerRunner(server, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield Door(runner.addresses[0][1], observer, permissions, server)
    finally:
        await runner.cleanup()


ANSWERS = {
    "allowed": ((*CHANGE, ALICE), 200, None),
    "a read": ((b"GET", b"/students/1/", b""), 200, None),
    "anyone": ((b"POST", b"/open/x", b""), 200, None),
    "anonymous": ((*CHANGE, b""), 401, "token_missing"),
    "another's token": ((*CHANGE, b"Authorization: Bearer eve\r\n"), 401, "token_invalid"),
    "forbidden": ((*CHANGE, BOB), 403, "permission_denied"),
    "no rule": ((b"POST", b"/teachers/", ALICE), 403, "no_rule"),
    "a target with two readings": ((b"PATCH", b"/students//1/", ALICE), 400, "bad_target"),
    "a method that is none": ((b"patch", b"/students/1/", ALICE), 501, "method_unknown"),
    "TRACE": ((b"TRACE", b"/students/1/", ALICE), 405, "method_refused"),
    "an override": ((*CHANGE, ALICE + b"X-HTTP-Method-Override: GET\r\n"), 400, "method_override"),
    "two tokens": ((*CHANGE, ALICE + BOB), 400, "bad_header"),
    "a WebSocket, allowed": ((b"GET", b"/socket/", ALICE + b"Sec-WebSocket-Key: k\r\n"), 200, None),
    "a WebSocket without a rule": ((b"GET", b"/", b"Sec-WebSocket-Key: k\r\n"), 403, "websocket_no_rule"),
}


@pytest.mark.parametrize(("asked", "status", "code"), ANSWERS.values(), ids=ANSWERS.keys())
async def test_it_decides_as_the_proxied_port_does(
    asked: tuple[bytes, bytes, bytes], status: int, code: str | None
) -> None:
    async with opened() as door:
        got, headers, body = await door.ask(ASKED % asked)
    assert got == status
    assert headers["cache-control"] == "no-store"
    assert len(headers["x-request-id"]) == 24
    assert (json.loads(body)["code"] if body else None) == code
    (decision,) = door.observer.decisions
    assert (decision.method, decision.target) == (asked[0].decode(), asked[1].decode())
    assert (door.observer.answers, door.observer.failures) == ([status], [])


async def test_each_connection_ends_with_its_next_answer_once_a_newer_version_serves() -> None:
    async with opened() as door, await Client.connect(door.port) as client:
        await client.send(ASKED % (*CHANGE, ALICE))
        assert b"\r\nconnection: close\r\n" not in (await client.contains(b"\r\n\r\n")).lower()
        door.server.leaving = True
        await client.send(ASKED % (*CHANGE, ALICE))
        assert b"\r\nconnection: close\r\n" in (await client.closed()).lower()


COOKIE, SOCKET = b"Cookie: token=alice\r\n", b"Sec-WebSocket-Key: k\r\n"
OFFER = b"Sec-WebSocket-Protocol: chat, authz.bearer.alice\r\n"
PLACES = {
    "a change of its own page": ((*CHANGE, COOKIE + b"Sec-Fetch-Site: same-origin\r\n"), 200),
    "a change of a page that is listed": ((*CHANGE, COOKIE + b"Origin: https://app.example\r\n"), 200),
    "a change of nobody's page": ((*CHANGE, COOKIE), 403),
    "a change of another page": ((*CHANGE, COOKIE + b"Origin: https://evil.example\r\n"), 403),
    # what the gateway asks with is not where the browser sent it
    "a change of a page of the port itself": ((*CHANGE, COOKIE + b"Origin: http://x\r\n"), 403),
    "a scheme that the client says": (
        (*CHANGE, COOKIE + b"Origin: https://x\r\nX-Forwarded-Proto: https\r\n"),
        403,
    ),
    "a WebSocket of nobody's page": ((b"GET", b"/socket/", COOKIE + SOCKET), 403),
    "a WebSocket by its subprotocol": ((b"GET", b"/socket/", OFFER + SOCKET), 200),
    "by that alone": ((b"GET", b"/socket/", OFFER.replace(b"chat, ", b"") + SOCKET), 400),
    "two cookies": ((*CHANGE, COOKIE + COOKIE + b"Sec-Fetch-Site: same-origin\r\n"), 401),
}


@pytest.mark.parametrize(("asked", "status"), PLACES.values(), ids=PLACES.keys())
async def test_a_token_in_another_place(asked: tuple[bytes, bytes, bytes], status: int) -> None:
    listed = frozenset({b"https://app.example"})
    places = TokenPlaces(subprotocol=True, cookie="token", cookie_origins=listed)
    async with opened(places=places) as door:
        got, _, body = await door.ask(ASKED % asked)
    assert got == status
    assert b"alice" not in body


async def test_a_clients_request_id_is_kept() -> None:
    async with opened() as door:
        _, headers, _ = await door.ask(ASKED % (*CHANGE, ALICE + b"X-Request-Id: mine-1\r\n"))
    assert headers["x-request-id"] == door.observer.decisions[0].request_id == "mine-1"


async def test_the_path_is_asked_about_with_its_own_method() -> None:
    async with opened(None) as door:
        asked = b"%b /check/students/1/ HTTP/1.1\r\nHost: x\r\n%b\r\n"
        assert (await door.ask(asked % (b"PATCH", ALICE)))[0] == 200
        assert await door.code(asked % (b"PATCH", BOB)) == (403, "permission_denied")
        # What asks like the other gateways is refused, whatever else it says.
        hook = b"X-Forwarded-Method: PATCH\r\nX-Forwarded-Uri: /students/1/\r\n"
        assert await door.code(asked % (b"GET", hook)) == (400, "looks_like_a_hook")
        assert await door.code(ASKED % (*CHANGE, ALICE)) == (400, "hook_malformed")


async def test_what_is_no_question_is_refused_and_told_of() -> None:
    async with opened() as door:
        missing = b"GET /check HTTP/1.1\r\nHost: x\r\nX-Forwarded-Uri: /\r\n\r\n"
        assert await door.code(missing) == (400, "hook_malformed")
        assert await door.code(b"GET /elsewhere HTTP/1.1\r\nHost: x\r\n\r\n") == (404, "not_served_here")
        assert (await door.ask(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"))[2] == b"alive"
    assert [failure.code for failure in door.observer.failures] == ["hook_malformed", "not_served_here"]
    assert "X-Forwarded-Method is missing" in door.observer.failures[0].detail
    assert door.observer.decisions == []
    assert door.observer.answers == [400, 404]


async def test_bounds_of_heads_and_targets() -> None:
    async with opened(limits=ProxyLimits(target_bytes=300, head_bytes=2048)) as door:
        assert (await door.ask(ASKED % (b"GET", b"/" + b"a" * 299, b"")))[0] == 200
        assert await door.code(ASKED % (b"GET", b"/" + b"a" * 300, b"")) == (414, "target_too_long")
        many = b"".join(b"X-%d: %b\r\n" % (number, b"a" * 900) for number in range(2))
        assert (await door.ask(ASKED % (*CHANGE, ALICE + many)))[0] == 200
        assert await door.code(ASKED % (*CHANGE, ALICE + many + many)) == (431, "head_too_large")
        assert (await door.ask(ASKED % (*CHANGE, b"X: " + b"a" * 3000 + b"\r\n")))[0] == 400


async def test_one_connection_too_many_is_told_so() -> None:
    async with opened(limits=ProxyLimits(connections=1)) as door, await Client.connect(door.port) as first:
        await first.send(ASKED % (*CHANGE, ALICE))
        await first.contains(b"\r\n\r\n")
        async with await Client.connect(door.port) as second:
            answer = await second.closed()
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b'"code": "too_many_connections"' in answer
        await first.send(ASKED % (*CHANGE, BOB))
        await first.contains(b"permission_denied")
        assert [failure.code for failure in door.observer.failures] == ["too_many_connections"]


async def test_whoever_sends_nothing_is_not_kept() -> None:
    impatient = ProxyLimits(idle_seconds=0.1)
    async with opened(limits=impatient) as door, await Client.connect(door.port) as client:
        await client.send(b"GET /check HTTP/1.1\r\n")
        assert await client.closed() == b""


async def test_what_goes_wrong_lets_nothing_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a fault of ours")

    async with opened() as door:
        monkeypatch.setattr(door.permissions, "authorize", broken)
        assert await door.code(ASKED % (*CHANGE, ALICE)) == (500, "internal_error")
    assert door.observer.answers == [500]


async def test_shadow_mode_refuses_nothing_but_what_is_malformed() -> None:
    async with opened(enforced=False) as door:
        assert (await door.ask(ASKED % (*CHANGE, BOB)))[0] == 200
        assert await door.code(ASKED % (*CHANGE, BOB * 2)) == (400, "bad_header")
        missing = b"GET /check HTTP/1.1\r\nHost: x\r\n\r\n"
        assert await door.code(missing) == (400, "hook_malformed")
    assert door.observer.decisions[0].verdict.code == "permission_denied"


IDENTITIES = {
    "a change": ((*CHANGE, ALICE), ("alice", "3f2a9c1b.7")),
    "a read": ((b"GET", b"/students/1/", ALICE), ("alice", "3f2a9c1b.7")),
    "a read of nobody": ((b"GET", b"/students/1/", b""), ("", "")),
    "a read with a bad token": ((b"GET", b"/students/1/", b"Authorization: Bearer eve\r\n"), ("", "")),
    "a forged one": ((b"GET", b"/students/1/", b"X-Authz-Subject: root\r\n"), ("", "")),
}


@pytest.mark.parametrize(("asked", "told"), IDENTITIES.values(), ids=IDENTITIES.keys())
async def test_every_answer_that_lets_through_tells_who_asks(
    asked: tuple[bytes, bytes, bytes], told: tuple[str, str]
) -> None:
    identity = IdentityHeaders(IdentitySettings(parts=("subject", "revision")), "service", lambda: 0.0)
    async with opened(identity=identity) as door:
        status, headers, _ = await door.ask(ASKED % asked)
    assert status == 200
    assert headers["x-authz-subject"] == told[0]
    assert headers["x-authz-revision"] in {told[1], ""}


@pytest.mark.parametrize("name", [b"X_Authz_Subject", b"x.authz.subject", b"X-Authz_Subject"])
async def test_what_the_service_could_take_for_an_identity_is_refused(name: bytes) -> None:
    """The gateway overwrites one spelling and would pass on this one."""
    identity = IdentityHeaders(IdentitySettings(parts=("subject",)), "service", lambda: 0.0)
    async with opened(identity=identity) as door:
        forged = ASKED % (b"GET", b"/students/1/", name + b": root\r\n")
        assert await door.code(forged) == (400, "hook_malformed")
        other = ASKED % (b"GET", b"/students/1/", name.replace(b"ubject", b"ubjects") + b": root\r\n")
        assert (await door.ask(other))[0] == 200
