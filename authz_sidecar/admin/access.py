"""Who may see and do what on the admin port.

What an orchestrator and a scraper need is open. On loopback so is `/status`; a request must name this machine
there, because a page that has its own name resolved to 127.0.0.1 could read everything otherwise. All else
needs the token: as a bearer token, or, for what only shows, as the cookie of who gave it to the page.
The cookie is signed with the token, so it ends with it, and does not give it away.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from authz_sidecar.config.addresses import is_ip

OPEN_PATHS = frozenset({"/livez", "/readyz", "/metrics"})
"""It tells nothing about users."""
SIGN_IN_PATHS = frozenset({"/", "/session"})
"""They judge the token themselves."""
COOKIE = "authz_admin"
SESSION_SECONDS = 12 * 3600

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Access:
    """`token` is asked anew for each request, because it can be changed. `wall`: Unix seconds."""

    def __init__(self, token: Callable[[], str | None], wall: Callable[[], float]) -> None:
        self._token = token
        self._wall = wall

    def guard(self, *, on_loopback: bool) -> Any:
        """The middleware of the whole port."""

        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            if on_loopback:
                if not _names_this_machine(request.host):
                    text = "ask by the address, like 127.0.0.1, or as localhost\n"
                    raise web.HTTPMisdirectedRequest(text=text)
            elif request.path not in OPEN_PATHS and not self._may_sign_in(request) and not self.may(request):
                raise _unauthorized()
            return await handler(request)

        return guard

    def holders(self, handler: Handler) -> Handler:
        """Wants the token on loopback, too: not every user of a machine may know or do this."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            self.demand_configured()
            if not self.may(request):
                raise _unauthorized()
            return await handler(request)

        return guarded

    def demand_configured(self) -> None:
        if self._token() is None:
            raise web.HTTPNotFound(text="this is served only where AUTHZ_ADMIN_TOKEN is set\n")

    def may(self, request: web.Request) -> bool:
        """Whether it comes from a holder of the token. The cookie opens nothing that changes something."""
        token = self._token()
        if token is None:
            return False
        if _same(request.headers.get("Authorization", ""), f"Bearer {token}"):
            return True
        return request.method in {"GET", "HEAD"} and self._is_session(request.cookies.get(COOKIE, ""), token)

    def session(self, given: str) -> str | None:
        """The cookie for somebody who gives the token; `None` for anybody else."""
        token = self._token()
        if token is None or not _same(given, token):
            return None
        return _signed(int(self._wall()) + SESSION_SECONDS, token)

    def _may_sign_in(self, request: web.Request) -> bool:
        return self._token() is not None and request.path in SIGN_IN_PATHS

    def _is_session(self, cookie: str, token: str) -> bool:
        until = cookie.partition(".")[0]
        if not until.isascii() or not until.isdigit() or len(until) > 15:
            return False
        return _same(cookie, _signed(int(until), token)) and self._wall() < int(until)


def _signed(until: int, token: str) -> str:
    proof = hmac.new(token.encode(), f"authz admin session {until}".encode(), hashlib.sha256)
    return f"{until}.{proof.hexdigest()}"


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode("utf-8", "surrogateescape"), other.encode())


def _names_this_machine(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    return name == "localhost" or is_ip(name)


def _unauthorized() -> web.HTTPUnauthorized:
    return web.HTTPUnauthorized(
        text="this needs AUTHZ_ADMIN_TOKEN as a bearer token\n",
        headers={"WWW-Authenticate": 'Bearer realm="authz-sidecar admin"'},
    )
