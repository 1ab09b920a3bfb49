"""Tokens in a cookie and in a subprotocol, as a real browser sends them from this origin and from another."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from authz_sidecar.core.bearer import TokenPlaces
from lab.stack.binaries import find
from lab.stack.browser import PROGRAM, Browser, browser
from lab.wire import Rig, running

SOCKET = """
said = [], ((socket) => {{
  socket.onopen = () => said.push(socket.protocol);
  socket.onclose = () => said.push("closed");
}})(new WebSocket("ws://{at}/socket/", {protocols}))
"""
CHANGE = """
said = [], fetch("http://{at}/students/", {{method: "POST", mode: "no-cors", credentials: "include"}})
  .then((answer) => said.push(answer.status))
"""


class Pages:
    """A service whose pages sign everybody in as alice; what it was asked for, and with which cookies."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None, str | None]] = []

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        headers = request.headers
        if request.path != "/favicon.ico":
            offered = headers.get("Sec-WebSocket-Protocol")
            self.asked.append((f"{request.method} {request.path}", headers.get("Cookie"), offered))
        if request.path == "/socket/":
            socket = web.WebSocketResponse(protocols=["chat"])
            await socket.prepare(request)
            await socket.receive()
            return socket
        answer = web.Response(text=f"<title>{request.headers['Host']}</title>", content_type="text/html")
        answer.set_cookie("token", "alice")
        return answer

    @asynccontextmanager
    async def served(self) -> AsyncIterator[int]:
        runner = web.ServerRunner(web.Server(self.handle), shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield runner.addresses[0][1]
        await runner.cleanup()


async def said(tab: Browser, script: str, at: str, protocols: str = "") -> object:
    """What the page hears first."""
    await tab.evaluate(script.format(at=at, protocols=protocols))
    await tab.until("said.length > 0")
    return await tab.evaluate("said[0]")


async def opened(tab: Browser, authority: str) -> None:
    await tab.do("Page.navigate", url=f"http://{authority}/")
    await tab.until(f"document.title === '{authority}'")


def codes(rig: Rig) -> list[str]:
    found = [decision.verdict.code for decision in rig.observer.decisions]
    rig.observer.decisions.clear()
    return [code for code in found if code != "safe_method"]


async def test_a_browsers_pages() -> None:
    """Cookies do not know of ports: a page at another one sends them, too, and may do nothing with them."""
    if find(PROGRAM) is None:
        pytest.skip(f"no browser is installed: python -m lab.setup.bootstrap {PROGRAM}")
    places, pages = TokenPlaces(subprotocol=True, cookie="token"), Pages()
    async with (
        pages.served() as port,
        running(places=places, service_port=port) as rig,
        browser() as tab,
    ):
        own, other = f"127.0.0.1:{rig.port}", f"127.0.0.1:{port}"
        await opened(tab, own)
        assert await said(tab, CHANGE, own) == 200
        assert await said(tab, SOCKET, own, "['chat']") == "chat"
        assert await said(tab, SOCKET, own, "['chat', 'authz.bearer.alice']") == "chat"
        assert codes(rig) == ["granted"] * 3
        assert await said(tab, SOCKET, own, "['authz.bearer.alice']") == "closed"
        assert codes(rig) == ["subprotocol_missing"]
        got_past = len(pages.asked)
        assert {asked for asked in pages.asked if "socket" in asked[0]} == {("GET /socket/", None, "chat")}
        assert {cookie for _, cookie, _ in pages.asked} == {None}
        await opened(tab, other)
        assert await said(tab, SOCKET, own, "['chat']") == "closed"
        await said(tab, CHANGE, own)
        assert codes(rig) == ["cross_origin"] * 2
        assert pages.asked[got_past:] == [("GET /", "token=alice", None)]  # of the page itself
