"""Liveness and readiness: is this process alive, and may traffic be sent to it?"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from math import inf

from aiohttp import web

from authz_sidecar.config.addresses import UpstreamAddress
from authz_sidecar.config.tls import client as client_context
from authz_sidecar.core.errors import MalformedMessage, Unavailable
from authz_sidecar.core.ports import KeysStatus
from authz_sidecar.core.verdicts import Verdict
from authz_sidecar.reasons import reason
from authz_sidecar.source import UserServiceClient

Check = Callable[[], Awaitable[str | None]]
"""`None` when all is well, else what is wrong in a few words."""

CONNECT_SECONDS = 1.0
REMEMBERED_SECONDS = 3.0
LOOK_SECONDS = 0.05


class Health:
    """`/livez` looks at nothing else; `/readyz` runs `ready`, and with `?fresh` also `fresh`."""

    def __init__(self, ready: Mapping[str, Check], fresh: Mapping[str, Check]) -> None:
        self._ready = ready
        self._fresh = fresh

    async def livez(self, _request: web.BaseRequest) -> web.Response:
        return web.json_response({"status": "ok"})

    async def readyz(self, request: web.BaseRequest) -> web.Response:
        checks = {**self._ready, **self._fresh} if "fresh" in request.query else self._ready
        results = {name: await check() or "ok" for name, check in checks.items()}
        healthy = all(result == "ok" for result in results.values())
        return web.json_response(
            {"status": "ok" if healthy else "failing", "checks": results}, status=200 if healthy else 503
        )


async def until_well(checks: Mapping[str, Check], seconds: float | None) -> str:
    """Empty once all is well, else what was not after so many seconds; `None`: there is no end to it."""
    failing: dict[str, str] = {}
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while failing := {name: wrong for name, check in checks.items() if (wrong := await check())}:  # noqa: ASYNC110 (checks tell nothing by themselves)
                await asyncio.sleep(LOOK_SECONDS)
    return "; ".join(f"{name}: {wrong}" for name, wrong in failing.items())


def reachable(upstream: UpstreamAddress, tls: ssl.SSLContext | None = None) -> Check:
    """Whether something accepts connections there and, for https, proves to be the upstream."""
    context = (tls or client_context()) if upstream.tls else None

    async def connect() -> None:
        if upstream.path is not None:
            _, writer = await asyncio.open_unix_connection(upstream.path)
        else:
            _, writer = await asyncio.open_connection(upstream.host, upstream.port, ssl=context)
        writer.close()  # with TLS it says so before: the service has nothing to complain of
        if context is not None:
            await writer.wait_closed()

    async def check() -> str | None:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await connect()
        except OSError as error:  # TimeoutError is one, too
            return f"{upstream}: {reason(error)}"
        return None

    return check if context is None else remembered(check)


def remembered(check: Check) -> Check:
    """Asks once for all who ask within `REMEMBERED_SECONDS`: this one costs others something."""
    asking, asked_at, answer = asyncio.Lock(), -inf, None

    async def ask() -> str | None:
        nonlocal asked_at, answer
        async with asking:
            now = asyncio.get_running_loop().time()
            if now - asked_at >= REMEMBERED_SECONDS:
                answer, asked_at = await check(), now
            return answer

    return ask


def loaded(was_live: Callable[[], bool]) -> Check:
    """Whether the replica was LIVE once. Staleness does not count: reads still pass."""

    async def check() -> str | None:
        return None if was_live() else "the permissions are not loaded yet"

    return check


def keys(statuses: Callable[[], Mapping[str, KeysStatus]]) -> Check:
    """Whether the tokens of every issuer can be verified."""

    async def check() -> str | None:
        found = statuses()
        without = {
            issuer: each.failure or "they are too old" for issuer, each in found.items() if not each.kids
        }
        named = len(found) > 1
        told = [f"{issuer}: {why}" if named else why for issuer, why in without.items()]
        return f"there are no signing keys: {'; '.join(told)}" if told else None

    return check


def decides(undecided: Callable[[], Verdict | None]) -> Check:
    """Whether changes can be decided on: what a decision would be answered for want of it."""

    async def check() -> str | None:
        verdict = undecided()
        return None if verdict is None else f"{verdict.code}: {verdict.detail}"

    return check


def names(lacking: Callable[[], str]) -> Check:
    """Whether the User service names its users by all that tokens name them by."""

    async def check() -> str | None:
        return lacking() or None

    return check


def answers(user_service: UserServiceClient) -> Check:
    """Whether the User service can be asked, where it is asked about every change."""

    async def check() -> str | None:
        try:
            await user_service.head()
        except (Unavailable, MalformedMessage) as error:
            return f"the User service cannot be asked: {error}"
        return None

    return remembered(check)
