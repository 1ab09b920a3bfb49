"""The admin application: its routes; `access` says who may use them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from authz_sidecar.admin.access import Access, Handler
from authz_sidecar.admin.explain import Explain, Recent, handler
from authz_sidecar.admin.health import Health
from authz_sidecar.admin.page import Page
from authz_sidecar.config.table import AdminSettings


async def nothing_to_count() -> None:
    """There are no other processes."""


@dataclass(frozen=True, slots=True)
class AdminSources:
    """What the admin port shows: each is asked anew for every request."""

    health: Health
    metrics: Callable[[str], tuple[bytes, str]]
    """The exposition and its content type, for what `Accept` names."""
    status: Callable[[], dict[str, Any]]
    explain: Explain
    recent: Recent
    reload: Callable[[], Awaitable[tuple[bool, dict[str, Any]]]]
    """Whether what was read is in force now, and a report."""
    token: Callable[[], str | None]
    """`AUTHZ_ADMIN_TOKEN` as it is now."""
    page: Callable[[], dict[str, Any]]
    """What the page shows."""
    wall: Callable[[], float]
    """Unix seconds."""
    count: Callable[[], Awaitable[None]] = nothing_to_count
    """Awaited before metrics, status, recent refusals and the page are asked for."""
    leaving: Callable[[], bool] = bool
    """Whether every connection ends with its next answer: a newer version has taken over."""


def application(sources: AdminSources, settings: AdminSettings) -> web.Application:
    """The admin application."""
    access = Access(sources.token, sources.wall)
    guard = access.guard(on_loopback=settings.on_loopback)
    app = web.Application(middlewares=[_ending(sources.leaving), guard])
    app.router.add_get("/livez", sources.health.livez)
    app.router.add_get("/readyz", sources.health.readyz)
    app.router.add_get("/metrics", _metrics(sources))
    app.router.add_get("/status", _status(sources))
    explain = access.holders(handler(sources.explain, sources.count, sources.recent))
    app.router.add_get("/explain", explain)
    app.router.add_post("/explain", explain)
    app.router.add_post("/reload", access.holders(_reload(sources.reload)))
    Page(access, sources.count, sources.page).add_to(app)
    return app


def _ending(leaving: Callable[[], bool]) -> Any:
    @web.middleware
    async def end(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            answer = await handler(request)
        except web.HTTPException as error:
            if leaving():
                error.force_close()
            raise
        if leaving():
            answer.force_close()
        return answer

    return end


def _metrics(sources: AdminSources) -> Handler:
    async def metrics(request: web.Request) -> web.Response:
        await sources.count()
        body, content_type = sources.metrics(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    return metrics


def _status(sources: AdminSources) -> Handler:
    async def status(_request: web.Request) -> web.Response:
        await sources.count()
        return web.json_response(sources.status())

    return status


def _reload(reload: Callable[[], Awaitable[tuple[bool, dict[str, Any]]]]) -> Handler:
    async def answer(_request: web.Request) -> web.Response:
        accepted, report = await reload()
        return web.json_response(report, status=200 if accepted else 422)

    return answer
