"""Counts the calls made to the User service, whichever part makes them."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

from aiohttp import (
    ClientSession,
    TraceConfig,
    TraceRequestEndParams,
    TraceRequestExceptionParams,
)
from yarl import URL

ENDPOINTS = frozenset(
    {"head", "changes", "snapshot", "digest", "subjects", "check", "permissions", "history", "jwks.json"}
)


def tracing(called: Callable[[str, int | None], None]) -> TraceConfig:
    """A trace for the session to the User service: `called(endpoint, status)`, `None` without an answer."""
    trace = TraceConfig()

    async def end(_session: ClientSession, _context: SimpleNamespace, params: TraceRequestEndParams) -> None:
        called(endpoint(params.url), params.response.status)

    async def failed(
        _session: ClientSession, _context: SimpleNamespace, params: TraceRequestExceptionParams
    ) -> None:
        called(endpoint(params.url), None)

    trace.on_request_end.append(end)
    trace.on_request_exception.append(failed)
    return trace


def endpoint(url: URL) -> str:
    """The part of a path that names the endpoint: labels must not grow with the users."""
    return next((part for part in url.parts if part in ENDPOINTS), "other")
