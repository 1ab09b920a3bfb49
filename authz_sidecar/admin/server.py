"""The admin application: routes, and who may use them."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from authz_sidecar.admin.explain import Explain, handler
from authz_sidecar.admin.health import Health
from authz_sidecar.config.addresses import is_ip
from authz_sidecar.config.table import AdminSettings

OPEN_PATHS = frozenset({"/livez", "/readyz", "/metrics"})
"""What an orchestrator and a scraper need; it tells nothing about users."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class AdminSources:
    """What the admin port shows: each is asked anew for every request."""

    health: Health
    metrics: Callable[[], tuple[bytes, str]]
    """The exposition and its content type."""
    status: Callable[[], dict[str, Any]]
    explain: Explain
    reload: Callable[[], Awaitable[tuple[bool, dict[str, Any]]]]
    """Whether what was read is in force now, and a report."""
    token: Callable[[], str | None]
    """`AUTHZ_ADMIN_TOKEN` as it is now."""


def application(sources: AdminSources, settings: AdminSettings) -> web.Application:
    """The admin application.

    On another address than loopback all but `OPEN_PATHS` needs the token. On loopback a request must name
    this machine, because a page that has its own name resolved to 127.0.0.1 could read everything otherwise.
    """
    guard = _by_address if settings.on_loopback else _guard(sources.token)
    app = web.Application(middlewares=[guard])
    app.router.add_get("/livez", sources.health.livez)
    app.router.add_get("/readyz", sources.health.readyz)
    app.router.add_get("/metrics", _metrics(sources.metrics))
    app.router.add_get("/status", _status(sources.status))
    explain = _for_holders(sources.token, handler(sources.explain))
    app.router.add_get("/explain", explain)
    app.router.add_post("/explain", explain)
    app.router.add_post("/reload", _for_holders(sources.token, _reload(sources.reload)))
    return app


def _for_holders(token: Callable[[], str | None], handler: Handler) -> Handler:
    """Wants the token on loopback, too: not every user of a machine may know or do this."""

    async def guarded(request: web.Request) -> web.StreamResponse:
        if token() is None:
            raise web.HTTPNotFound(text="this is served only where AUTHZ_ADMIN_TOKEN is set\n")
        if not _carries(request, token()):
            raise _unauthorized()
        return await handler(request)

    return guarded


def _metrics(exposition: Callable[[], tuple[bytes, str]]) -> Handler:
    async def metrics(_request: web.Request) -> web.Response:
        body, content_type = exposition()
        return web.Response(body=body, headers={"Content-Type": content_type})

    return metrics


def _status(read: Callable[[], dict[str, Any]]) -> Handler:
    async def status(_request: web.Request) -> web.Response:
        return web.json_response(read())

    return status


def _reload(reload: Callable[[], Awaitable[tuple[bool, dict[str, Any]]]]) -> Handler:
    async def answer(_request: web.Request) -> web.Response:
        accepted, report = await reload()
        return web.json_response(report, status=200 if accepted else 422)

    return answer


@web.middleware
async def _by_address(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Middleware that wants an address or `localhost` in Host."""
    if _names_this_machine(request.host):
        return await handler(request)
    raise web.HTTPMisdirectedRequest(text="ask by the address, like 127.0.0.1, or as localhost\n")


def _names_this_machine(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    return name == "localhost" or is_ip(name)


def _guard(token: Callable[[], str | None]) -> Any:
    """Middleware that asks for the admin token; without one configured those paths are closed."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path in OPEN_PATHS or _carries(request, token()):
            return await handler(request)
        raise _unauthorized()

    return guard


def _unauthorized() -> web.HTTPUnauthorized:
    return web.HTTPUnauthorized(
        text="this needs AUTHZ_ADMIN_TOKEN as a bearer token\n",
        headers={"WWW-Authenticate": 'Bearer realm="authz-sidecar admin"'},
    )


def _carries(request: web.Request, token: str | None) -> bool:
    sent = request.headers.get("Authorization", "")
    return token is not None and hmac.compare_digest(
        sent.encode("utf-8", "surrogateescape"), f"Bearer {token}".encode()
    )
