"""Liveness and readiness: is this process alive, and may traffic be sent to it?"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

Check = Callable[[], Awaitable[str | None]]
"""`None` when all is well, else what is wrong in a few words."""


class Health:
    """`/livez` looks at nothing else; `/readyz` runs `ready`, and with `?fresh` also `fresh`."""

    def __init__(self, ready: Mapping[str, Check], fresh: Mapping[str, Check]) -> None:
        self._ready = ready
        self._fresh = fresh

    async def livez(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def readyz(self, request: web.Request) -> web.Response:
        checks = {**self._ready, **self._fresh} if "fresh" in request.query else self._ready
        results = {name: await check() or "ok" for name, check in checks.items()}
        healthy = all(result == "ok" for result in results.values())
        return web.json_response(
            {"status": "ok" if healthy else "failing", "checks": results}, status=200 if healthy else 503
        )
