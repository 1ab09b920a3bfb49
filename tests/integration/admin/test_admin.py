"""The admin port: who is shown what, over a real socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer

from authz_sidecar.admin.health import Health
from authz_sidecar.admin.server import AdminSources, application
from authz_sidecar.config.addresses import Address
from authz_sidecar.config.table import AdminSettings

Get = Callable[..., Awaitable[tuple[int, str]]]
problems: dict[str, str | None] = {}


def check(name: str) -> Callable[[], Awaitable[str | None]]:
    async def run() -> str | None:
        return problems.get(name)

    return run


@pytest.fixture
async def admin() -> AsyncIterator[Callable[[AdminSettings], Awaitable[Get]]]:
    problems.clear()
    servers: list[TestServer] = []
    sources = AdminSources(
        health=Health({"upstream": check("upstream")}, {"fresh": check("fresh")}),
        metrics=lambda: (b"authz_up 1\n", "text/plain; version=0.0.4"),
        status=lambda: {"phase": "LIVE"},
    )
    async with ClientSession() as session:

        async def start(settings: AdminSettings) -> Get:
            server = TestServer(application(sources, settings))
            await server.start_server()
            servers.append(server)

            async def get(path: str, **headers: str) -> tuple[int, str]:
                async with session.get(server.make_url(path), headers=headers) as response:
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
