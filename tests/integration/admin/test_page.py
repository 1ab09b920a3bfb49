"""The page: who sees it, what its cookie opens and what it does not, and what it may load."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from http.cookies import SimpleCookie
from typing import Any

import pytest
from aiohttp import ClientResponse, ClientSession, DummyCookieJar
from aiohttp.test_utils import TestServer

from authz_sidecar.admin.access import COOKIE, SESSION_SECONDS
from authz_sidecar.admin.health import Health
from authz_sidecar.admin.page import MAX_STREAMS
from authz_sidecar.admin.server import AdminSources, application
from authz_sidecar.config.addresses import Address
from authz_sidecar.config.table import AdminSettings

TOKEN = "s3cret"
LOOPBACK = AdminSettings(listen=(Address("127.0.0.1", 0),))
ANYWHERE = AdminSettings(listen=(Address("0.0.0.0", 0),))  # noqa: S104 (nothing listens there)
Ask = Callable[..., Awaitable[ClientResponse]]


class World:
    now = 1_800_000_000.0
    token: str | None = TOKEN


async def _done() -> tuple[bool, dict[str, Any]]:
    return True, {}


async def _explained(_asked: object) -> dict[str, Any]:
    return {}


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture(params=[LOOPBACK, ANYWHERE], ids=["loopback", "anywhere"])
async def ask(request: pytest.FixtureRequest, world: World) -> AsyncIterator[Ask]:
    sources = AdminSources(
        health=Health({}, {}),
        metrics=lambda _: (b"", "text/plain"),
        status=lambda: {},
        explain=_explained,
        recent=lambda: [],
        reload=_done,
        token=lambda: world.token,
        page=lambda: {"now": world.now},
        wall=lambda: world.now,
    )
    server = TestServer(application(sources, request.param))
    await server.start_server()
    async with ClientSession(cookie_jar=DummyCookieJar()) as session:

        async def ask(method: str, path: str, cookie: str = "", **options: Any) -> ClientResponse:
            headers = {"Cookie": f"{COOKIE}={cookie}"} if cookie else {}
            url = server.make_url(path)
            return await session.request(method, url, headers=headers, allow_redirects=False, **options)

        yield ask
    await server.close()


async def signed_in(ask: Ask, given: str = f"token={TOKEN}\r\n") -> str:
    answer = await ask("POST", "/session", data=given.encode())
    assert answer.status == 303, await answer.text()
    morsel = SimpleCookie(answer.headers["Set-Cookie"])[COOKIE]
    assert (morsel["httponly"], morsel["samesite"], morsel["path"]) == (True, "Strict", "/")
    assert TOKEN not in morsel.value
    return morsel.value


async def test_the_token_is_asked_for_once(ask: Ask) -> None:
    first = await ask("GET", "/")
    assert (first.status, 'action="/session"' in await first.text()) == (200, True)
    cookie = await signed_in(ask)
    then = await ask("GET", "/", cookie)
    assert 'new EventSource("/events")' in await then.text()


@pytest.mark.parametrize("given", ["", "token=", "token=wrong", "token=s3cret2", "x" * 10_000, "\udcff"])
async def test_a_wrong_token_opens_nothing(ask: Ask, given: str) -> None:
    answer = await ask("POST", "/session", data=given.encode("utf-8", "surrogateescape"))
    assert (answer.status, "Set-Cookie" in answer.headers) == (401, False)


async def test_the_cookie_opens_what_shows_and_nothing_that_changes(ask: Ask) -> None:
    cookie = await signed_in(ask)
    assert (await ask("GET", "/explain?method=GET&path=/", cookie)).status == 200
    assert (await ask("POST", "/explain", cookie, json={"method": "GET", "path": "/"})).status == 401
    assert (await ask("POST", "/reload", cookie)).status == 401


async def test_the_cookie_ends_with_time_and_with_its_token(ask: Ask, world: World) -> None:
    cookie = await signed_in(ask)
    forged = f"{int(world.now) + 10 * SESSION_SECONDS}.{cookie.partition('.')[2]}"
    for wrong in (forged, cookie + "0", cookie.partition(".")[2], ".", "9" * 30 + ".0", "x.y"):
        assert (await ask("GET", "/events", wrong)).status == 401
    world.now += SESSION_SECONDS
    assert (await ask("GET", "/events", cookie)).status == 401
    cookie = await signed_in(ask)
    world.token = "another"
    assert (await ask("GET", "/events", cookie)).status == 401


async def test_without_a_token_there_is_no_page(ask: Ask, world: World) -> None:
    world.token = None
    statuses = {(await ask(method, path)).status for method, path in [("GET", "/"), ("GET", "/events")]}
    assert statuses <= {401, 404}
    assert (await ask("POST", "/session", data=b"token=None")).status in {401, 404}


async def test_events_come_at_once(ask: Ask) -> None:
    answer = await ask("GET", "/events", await signed_in(ask))
    assert answer.content_type == "text/event-stream"
    line = await answer.content.readuntil(b"\n\n")
    assert json.loads(line.removeprefix(b"data: ")) == {"now": World.now}
    answer.close()


async def test_pages_that_are_left_open_are_bounded(ask: Ask) -> None:
    cookie = await signed_in(ask)
    held = [await ask("GET", "/events", cookie) for _ in range(MAX_STREAMS)]
    assert (await ask("GET", "/events", cookie)).status == 503
    for each in held:
        each.close()


async def test_nothing_runs_or_is_loaded_but_what_stands_in_the_page(ask: Ask) -> None:
    for cookie in ("", await signed_in(ask)):
        answer = await ask("GET", "/", cookie)
        policy, text = answer.headers["Content-Security-Policy"], await answer.text()
        assert policy.startswith("default-src 'none'; ")
        assert "unsafe" not in policy
        assert not re.search(
            r"(?:src|href)=|url\(|@import|\bon\w+=|style=|https?://(?!www\.w3\.org/)",
            text.replace('<a href="/status">', ""),
        )
        assert answer.headers["Cache-Control"] == "no-store"
