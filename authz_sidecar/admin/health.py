"""Liveness and readiness: is this process alive, and may traffic be sent to it?"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from math import inf

from aiohttp import web

from authz_sidecar.config.addresses import UpstreamAddress
from authz_sidecar.core.ports import ReplicaStatus

Check = Callable[[], Awaitable[str | None]]
"""`None` when all is well, else what is wrong in a few words."""

CONNECT_SECONDS = 1.0


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


def reachable(upstream: UpstreamAddress) -> Check:
    """Whether something accepts connections there."""

    async def connect() -> None:
        if upstream.path is not None:
            _, writer = await asyncio.open_unix_connection(upstream.path)
        else:
            _, writer = await asyncio.open_connection(upstream.host, upstream.port)
        writer.close()

    async def check() -> str | None:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await connect()
        except OSError as error:
            return error.strerror or "unreachable"
        return None

    return check


def loaded(status: Callable[[], ReplicaStatus]) -> Check:
    """Whether the replica was LIVE once. Staleness does not count: reads still pass."""

    async def check() -> str | None:
        return None if status().was_live else "the permissions are not loaded yet"

    return check


def fresh(status: Callable[[], ReplicaStatus]) -> Check:
    """Whether mutating requests can be decided now."""

    async def check() -> str | None:
        return None if status().fresh else "no proof of freshness within the bounds"

    return check


def audited(status: Callable[[], ReplicaStatus], bound: float) -> Check:
    """Whether the User service has compared all of its log with its tables in the last `bound` seconds."""

    async def check() -> str | None:
        age = status().audit_age
        if bound == inf or (age is not None and age <= bound):
            return None
        return "when the log was last audited is not known" if age is None else "the last audit is too old"

    return check
