"""The scripts of the guides in docs/guides/, run from the page in a real browser."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.request import Request, urlopen

import pytest

from lab import DEADLINE
from lab.stack.binaries import find
from lab.stack.browser import PROGRAM, Browser, browser
from lab.stack.client import People
from lab.stack.process import free_port
from lab.stack.services import UserService
from lab.stack.system import Stack
from tests.e2e.guides.reader import USERS, Given, Reader, served

T = TypeVar("T")

pytestmark = pytest.mark.skipif(
    find(PROGRAM) is None, reason=f"no browser is installed: python -m lab.setup.bootstrap {PROGRAM}"
)


class Tab:
    """A page on which modules of a guide are used."""

    def __init__(self, opened: Browser) -> None:
        self._opened = opened
        self.run = opened.evaluate
        self.until = opened.until

    async def at(self, url: str, module: str) -> None:
        """Opens a page, and loads a module into it as `m`."""
        await self._opened.do("Page.navigate", url=url)
        await self.until(f"location.href === {json.dumps(url)} && document.readyState === 'complete'")
        await self.load(module)

    async def load(self, module: str) -> None:
        blob = f"new Blob([{json.dumps(module)}], {{type: 'text/javascript'}})"
        await self.say(f"import(URL.createObjectURL({blob})).then((found) => {{ window.m = found; }})")

    async def say(self, expression: str) -> Any:
        """What comes of it, once it has: its value, or the message of its error."""
        kept = "(value) => { window.said = {value}; }, (error) => { window.said = {value: error.message}; }"
        await self.run(f"window.said = null; Promise.resolve({expression}).then({kept}); 0")
        await self.until("window.said !== null")
        return await self.run("window.said.value")


@asynccontextmanager
async def aside(started: AbstractContextManager[T]) -> AsyncIterator[T]:
    """What takes a while to start, without the event loop waiting for it."""
    given = await asyncio.to_thread(started.__enter__)
    try:
        yield given
    finally:
        await asyncio.to_thread(started.__exit__, None, None, None)


@pytest.fixture(scope="module")
def asgi(system: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served("uvicorn", system.user_service, tmp_path_factory.mktemp("asgi")) as address:
        yield address


HEARD = "window.heard = []; window.live = m.{call}('{url}', '{token}', (said) => heard.push(said)); 0"


async def test_websockets_and_events(system: Stack, people: People, asgi: str, tmp_path: Path) -> None:
    if Given.program() is None:
        pytest.skip("nginx is not installed; scripts/test gets it")
    me = Reader("websockets", system.user_service, tmp_path, asgi)
    rules, place = me.page.take("yaml"), me.page.take("sh")
    carol, bob = await asyncio.to_thread(lambda: [people.pass_of(each) for each in ("carol", "bob")])
    async with aside(me.sidecar(rules, place)) as url, browser() as opened:
        tab = Tab(opened)
        await tab.at(f"{url}/", me.page.take("js", "live"))
        address = f"ws{url.removeprefix('http')}/live/"
        for token, said in ((carol, "chat"), (bob, "closed")):
            await tab.run(HEARD.format(call="live", url=address, token=token))
            await tab.until("[WebSocket.OPEN, WebSocket.CLOSED].includes(live.readyState)")
            assert await tab.run("live.readyState === WebSocket.OPEN ? live.protocol : 'closed'") == said
            if said != "closed":
                await tab.run("live.send('hello'); 0")
                await tab.until("heard.length > 0")
                assert await tab.run("heard[0]") == "you said hello"
        await tab.load(me.page.take("js", "events"))
        assert await tab.say(f"m.events('{url}/events/', '{bob}')") == "permission_denied"
        await tab.run(HEARD.format(call="events", url=f"{url}/events/", token=carol))
        await tab.until("heard.length > 0")
        assert await tab.run("heard[0]") == "data: here\n\n"
        await asyncio.to_thread(first_event_through_nginx, me, carol)
    assert me.page.left == []


def first_event_through_nginx(me: Reader, token: str) -> None:
    location = me.page.take("nginx")
    around = f"upstream sidecar {{ server {me.address}; }} server {{ listen 443; {location} }}"
    with Given(around, me.folder) as nginx:
        bearer = {"Authorization": f"Bearer {token}"}
        with urlopen(Request(f"http://{nginx.address}/events/", headers=bearer), timeout=DEADLINE) as stream:
            assert stream.readline() == b"data: here\n"


ONCE = (
    "window.real = window.fetch; window.refused = 0; window.fetch = (url, options) =>"
    " url.includes('/students/') && !refused++"
    ' ? Promise.resolve(new Response(\'{"code": "token_expired"}\', {status: 401})) : real(url, options); 0'
)
"""The next change is answered as one with a token that has expired since."""


async def test_a_single_page_application(system: Stack, asgi: str, tmp_path: Path) -> None:
    """The User service is the same as everybody's, with the setting of the page."""
    users, origin = f"http://127.0.0.1:{free_port()}", f"http://127.0.0.1:{free_port()}"
    places = {USERS: users, "https://app.example.org": origin}
    me = Reader("single-page-application", system.user_service, tmp_path, asgi, places)
    me.writes(me.page.take("sh", "user-service.env"))
    (tmp_path / "index.html").write_text("<!doctype html><title>app</title>")
    program = (
        f"gunicorn --chdir {UserService.root} --threads 4 --bind {users.removeprefix('http://')} config.wsgi"
    )
    application = f"python -m http.server {origin.rpartition(':')[2]} --bind 127.0.0.1"
    async with (
        aside(me.serving(f"set -a; . ./user-service.env; {program}", f"{users}/livez", AUTH_ISSUER=users)),
        aside(me.serving(application, f"{origin}/")),
        aside(me.sidecar(me.page.take("sh", "sidecar.env"))),
        browser() as opened,
    ):
        tab = Tab(opened)
        await tab.at(f"{origin}/", me.page.take("js"))
        password = system.user_service.password
        change = "m.change('PATCH', '/students/1/', {}).then((seen) => seen.method)"
        assert await tab.say(f"m.signIn('alice', '{password}').then(() => {change})") == "permission_denied"
        assert await tab.say(f"m.signIn('bob', '{password}').then(() => {change})") == "PATCH"
        await tab.run(ONCE)
        assert await tab.say(change) == "PATCH"
        assert await tab.run("refused") == 2
        assert await tab.say("m.signIn('bob', 'wrong')") == "/api/token/: 401"
    assert me.page.left == []
