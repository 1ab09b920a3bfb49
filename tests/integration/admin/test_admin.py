"""The admin port: who is shown what, over a real socket."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer

from authz_sidecar.admin.health import Health
from authz_sidecar.admin.server import AdminSources, application
from authz_sidecar.config.addresses import Address
from authz_sidecar.config.table import AdminSettings
from authz_sidecar.explain import Asked

Get = Callable[..., Awaitable[tuple[int, str]]]
clock = {"now": 1_800_000_000.0}
problems: dict[str, str | None] = {}


def check(name: str) -> Callable[[], Awaitable[str | None]]:
    async def run() -> str | None:
        return problems.get(name)

    return run


REFUSED = {
    "request_id": "r7",
    "method": "PUT",
    "target": "/students/7/",
    "subject": None,
    "user_field": None,
}


async def explain(asked: Asked) -> dict[str, Any]:
    asked_for = [asked.method, asked.target.decode(), asked.subject, (asked.token or b"").decode()]
    told = {"detail": "why", "enforced": True, "rule": None, "closest": [], "revision": None, "mend": ""}
    verdict = {"method": "PUT", "target": "/", "subject": None, "allowed": True, "code": "anyone"}
    return {"asked": asked_for, **verdict, **told, "policy": "a1b2"}


async def reload() -> tuple[bool, dict[str, Any]]:
    return "reload" not in problems, {"problems": [problems.get("reload")]}


@pytest.fixture
def sources() -> AdminSources:
    problems.clear()
    return AdminSources(
        health=Health({"upstream": check("upstream")}, {"fresh": check("fresh")}),
        metrics=lambda accept: (f"authz_up 1 {accept}\n".encode(), "text/plain; version=0.0.4"),
        status=lambda: {"phase": "LIVE"},
        explain=explain,
        recent=lambda: [REFUSED],
        reload=reload,
        token=lambda: None,
        page=lambda: {"shown": True},
        wall=lambda: clock["now"],
    )


@pytest.fixture
async def admin(sources: AdminSources) -> AsyncIterator[Callable[[AdminSettings], Awaitable[Get]]]:
    servers: list[TestServer] = []
    async with ClientSession() as session:

        async def start(settings: AdminSettings) -> Get:
            told = replace(sources, token=lambda: settings.token)
            server = TestServer(application(told, settings))
            await server.start_server()
            servers.append(server)

            async def get(path: str, body: bytes | None = None, **headers: str) -> tuple[int, str]:
                method, url = "GET" if body is None else "POST", server.make_url(path)
                async with session.request(method, url, headers=headers, data=body) as response:
                    return response.status, await response.text()

            return get

        yield start
        for server in servers:
            await server.close()


LOOPBACK = AdminSettings(listen=(Address("127.0.0.1", 0),), token=None)
PUBLIC = AdminSettings(listen=(Address("0.0.0.0", 0),), token="s3cret")  # noqa: S104 (nothing listens there: the test picks loopback)
BOTH = AdminSettings(listen=(Address("127.0.0.1", 0), Address("::", 0)), token="s3cret")
PUBLIC_WITHOUT_TOKEN = AdminSettings(listen=(Address("0.0.0.0", 0),), token=None)  # noqa: S104 (as above)


@pytest.mark.parametrize(
    ("settings", "path", "headers", "status"),
    [
        (LOOPBACK, "/status", {}, 200),
        (LOOPBACK, "/metrics", {}, 200),
        (PUBLIC, "/livez", {}, 200),
        (PUBLIC, "/readyz", {}, 200),
        (PUBLIC, "/metrics", {}, 200),
        (PUBLIC, "/status", {}, 401),
        (PUBLIC, "/status", {"Authorization": "Bearer wrong"}, 401),
        (PUBLIC, "/status", {"Authorization": "Bearer s3cret"}, 200),
        (PUBLIC, "/nothing", {}, 401),
        (BOTH, "/status", {}, 401),
        (PUBLIC_WITHOUT_TOKEN, "/status", {"Authorization": "Bearer None"}, 401),
        (PUBLIC_WITHOUT_TOKEN, "/livez", {}, 200),
    ],
)
async def test_who_is_shown_what(
    admin: Callable[[AdminSettings], Awaitable[Get]],
    settings: AdminSettings,
    path: str,
    headers: dict[str, str],
    status: int,
) -> None:
    get = await admin(settings)
    assert (await get(path, **headers))[0] == status


@pytest.mark.parametrize(
    ("wrong", "livez", "readyz", "fresh"),
    [(None, 200, 200, 200), ("upstream", 200, 503, 503), ("fresh", 200, 200, 503)],
)
async def test_readiness_says_which_check_fails(
    admin: Callable[[AdminSettings], Awaitable[Get]],
    wrong: str | None,
    livez: int,
    readyz: int,
    fresh: int,
) -> None:
    get = await admin(LOOPBACK)
    if wrong:
        problems[wrong] = "out of order"
    answers = [await get(path) for path in ("/livez", "/readyz", "/readyz?fresh")]
    assert [status for status, _ in answers] == [livez, readyz, fresh]
    if wrong:
        assert f'"{wrong}": "out of order"' in answers[2][1]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:9901", 200),
        ("localhost", 200),
        ("LOCALHOST:9901", 200),
        ("[::1]:9901", 200),
        ("evil.example", 421),
        ("evil.example:9901", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost.evil.example", 421),
        ("[", 421),
        ("[::1", 421),
        ("evil@localhost.example", 421),
    ],
)
async def test_on_loopback_a_request_names_this_machine(
    admin: Callable[[AdminSettings], Awaitable[Get]], host: str, status: int
) -> None:
    """A page whose own name resolves to 127.0.0.1 is of the same origin, and could read everything."""
    get = await admin(LOOPBACK)
    for path in ("/status", "/metrics", "/livez"):
        assert (await get(path, Host=host))[0] == status


GUARDED = AdminSettings(listen=(Address("127.0.0.1", 0),), token="s3cret")
HOLDER = {"Authorization": "Bearer s3cret"}
QUERY = "/explain?method=PATCH&path=/students/3/&subject=17"


@pytest.mark.parametrize(
    ("settings", "headers", "status"),
    [
        (LOOPBACK, {}, 404),
        (LOOPBACK, {"Authorization": "Bearer None"}, 404),
        (GUARDED, {}, 401),
        (GUARDED, {"Authorization": "Bearer wrong"}, 401),
        (GUARDED, HOLDER, 200),
        (PUBLIC, {}, 401),
        (PUBLIC, HOLDER, 200),
        (PUBLIC_WITHOUT_TOKEN, {}, 401),
    ],
)
async def test_why_is_told_to_holders_of_the_token_alone_on_loopback_too(
    admin: Callable[[AdminSettings], Awaitable[Get]],
    settings: AdminSettings,
    headers: dict[str, str],
    status: int,
) -> None:
    get = await admin(settings)
    assert (await get(QUERY, **headers))[0] == status


@pytest.mark.parametrize(
    ("path", "body", "status", "told"),
    [
        (QUERY, None, 200, '"PATCH", "/students/3/", "17", ""'),
        (
            "/explain",
            {"method": "PUT", "path": "/a/é", "token": "eyJ"},
            200,
            '"PUT", "/a/%C3%A9", null, "eyJ"',
        ),
        ("/explain?request_id=r7", None, 200, '"PUT", "/students/7/", null, ""'),
        ("/explain?request_id=r7", None, 200, '"  rule      none counts"'),
        ("/explain?request_id=r8", None, 404, "request_id: is not among the latest refusals"),
        ("/explain?method=PUT", None, 400, "path: is required"),
        ("/explain?method=PUT&path=/&subject=a%1Fb", None, 400, "subject: must not hold the control"),
        ("/explain?method=PUT&path=/&token=eyJ", None, 400, "token: send it with POST"),
        ("/explain", {"method": "PUT", "path": 3}, 400, "path: must be text"),
        ("/explain", {"method": "PUT", "path": "/", "sub": "3"}, 400, "sub: is not known here"),
        (
            "/explain",
            {"method": "PUT", "path": "/", "subject": "3", "token": "x"},
            400,
            "must not stand beside",
        ),
        ("/explain", [], 400, "must be a JSON object"),
        ("/explain", None, 400, "method: is required; path: is required"),
    ],
)
async def test_how_to_ask_why(
    admin: Callable[[AdminSettings], Awaitable[Get]], path: str, body: object, status: int, told: str
) -> None:
    get = await admin(GUARDED)
    data = None if body is None else json.dumps(body).encode()
    answered, text = await get(path, data, **HOLDER)
    assert (answered, told in text) == (status, True), text


@pytest.mark.parametrize(
    ("settings", "headers", "wrong", "status"),
    [
        (LOOPBACK, {}, None, 404),
        (GUARDED, {}, None, 401),
        (GUARDED, HOLDER, None, 200),
        (GUARDED, HOLDER, "bad", 422),
        (PUBLIC, HOLDER, None, 200),
        (PUBLIC_WITHOUT_TOKEN, {}, None, 401),
    ],
)
async def test_who_may_reload(
    admin: Callable[[AdminSettings], Awaitable[Get]],
    settings: AdminSettings,
    headers: dict[str, str],
    wrong: str | None,
    status: int,
) -> None:
    get = await admin(settings)
    if wrong:
        problems["reload"] = wrong
    assert (await get("/reload", b"", **headers))[0] == status


async def test_a_scraper_is_answered_in_what_it_reads(
    admin: Callable[[AdminSettings], Awaitable[Get]],
) -> None:
    get = await admin(LOOPBACK)
    assert "application/openmetrics-text" in (await get("/metrics", Accept="application/openmetrics-text"))[1]


@pytest.mark.parametrize("path", ["/livez", "/no-such-page"])
async def test_each_connection_ends_with_its_next_answer_once_a_newer_version_serves(
    sources: AdminSources, path: str
) -> None:
    leaving = False
    served = application(replace(sources, leaving=lambda: leaving), LOOPBACK)
    async with TestServer(served) as server, ClientSession() as session:
        for leaving in (False, True):
            async with session.get(server.make_url(path)) as answer:
                assert (answer.headers.get("Connection") == "close") is leaving
