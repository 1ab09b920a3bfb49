"""The page for people: one document without foreign parts, and what it shows as server-sent events."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from importlib.resources import files
from typing import Any, Final

from aiohttp import web

from authz_sidecar.admin.access import COOKIE, SESSION_SECONDS, Access

EVENT_SECONDS: Final = 1.0
MAX_STREAMS: Final = 20
MAX_TOKEN: Final = 4096


class Page:
    """Signs in, shows the page and keeps it up to date. `read` makes what one event says, after `count`."""

    def __init__(
        self, access: Access, count: Callable[[], Awaitable[None]], read: Callable[[], Mapping[str, Any]]
    ) -> None:
        self._access = access
        self._count = count
        self._read = read
        self._page, self._sign_in = _Document("page.html"), _Document("sign_in.html")
        self._closing = asyncio.Event()
        self._streams = 0

    def add_to(self, app: web.Application) -> None:
        app.router.add_get("/", self.show)
        app.router.add_post("/session", self.sign_in)
        app.router.add_get("/events", self._access.holders(self.events))
        app.on_shutdown.append(self._close)

    async def show(self, request: web.Request) -> web.StreamResponse:
        """The page for holders of the token; for others the question for it."""
        self._access.demand_configured()
        return self._page.answer() if self._access.may(request) else self._sign_in.answer()

    async def sign_in(self, request: web.Request) -> web.StreamResponse:
        self._access.demand_configured()
        given = (await request.content.read(MAX_TOKEN)).decode("utf-8", "replace")
        cookie = self._access.session(given.removeprefix("token=").strip())
        if cookie is None:
            return self._sign_in.answer(status=401)
        response = web.HTTPSeeOther("/")
        response.set_cookie(
            COOKIE, cookie, max_age=SESSION_SECONDS, path="/", httponly=True, samesite="Strict"
        )
        raise response

    async def events(self, request: web.Request) -> web.StreamResponse:
        """One event at once and then one a second, until either side ends it."""
        if self._streams >= MAX_STREAMS:
            raise web.HTTPServiceUnavailable(text="too many pages are open\n")
        self._streams += 1
        try:
            headers = {"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
            response = web.StreamResponse(headers=headers)
            await response.prepare(request)
            while not self._closing.is_set():
                await self._count()
                await response.write(f"data: {json.dumps(self._read())}\n\n".encode())
                await self._wait()
            return response
        finally:
            self._streams -= 1

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(EVENT_SECONDS):
                await self._closing.wait()
        except TimeoutError:
            pass

    async def _close(self, _app: web.Application) -> None:
        self._closing.set()


class _Document:
    """An HTML file, and a policy that lets nothing run but what stands in it."""

    def __init__(self, name: str) -> None:
        self._text = files("authz_sidecar.admin").joinpath(name).read_text("utf-8")
        scripts, styles = _hashes("script", self._text), _hashes("style", self._text)
        self._headers = {
            "Content-Security-Policy": (
                f"default-src 'none'; script-src {scripts}; style-src {styles}; connect-src 'self'; "
                "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
            ),
            "Cache-Control": "no-store",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        }

    def answer(self, status: int = 200) -> web.Response:
        return web.Response(text=self._text, status=status, content_type="text/html", headers=self._headers)


def _hashes(element: str, text: str) -> str:
    found = re.findall(rf"<{element}>(.*?)</{element}>", text, re.DOTALL)
    digests = (base64.b64encode(hashlib.sha256(each.encode()).digest()).decode() for each in found)
    return " ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"
