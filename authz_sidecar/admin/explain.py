"""`/explain`: why a request would be let through or refused. A token comes in the body alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import quote

from aiohttp import web

from authz_sidecar.explain import Asked

KEYS = frozenset({"method", "path", "subject", "token"})
VISIBLE = "".join(map(chr, range(0x21, 0x7F)))

Explain = Callable[[Asked], Awaitable[dict[str, Any]]]


def handler(explain: Explain) -> Callable[[web.Request], Awaitable[web.Response]]:
    """GET with a query that names a subject; POST with a JSON object that may hold a token instead."""

    async def answer(request: web.Request) -> web.Response:
        try:
            asked = question(await _given(request))
        except ValueError as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response(await explain(asked))

    return answer


async def _given(request: web.Request) -> Mapping[str, Any]:
    if request.method != "POST":
        if "token" in request.query:
            raise ValueError("token: send it with POST, because addresses are logged")
        return dict(request.query)
    try:
        given = await request.json()
    except ValueError as error:
        raise ValueError("the body must be JSON") from error
    if not isinstance(given, dict):
        raise ValueError("the body must be a JSON object")
    return given


def question(given: Mapping[str, Any]) -> Asked:
    """Raises ValueError with every mistake."""
    mistakes = [
        f"{name}: is not known here; known are {', '.join(sorted(KEYS))}" for name in given.keys() - KEYS
    ]
    mistakes += [f"{name}: is required" for name in ("method", "path") if not given.get(name)]
    mistakes += [f"{name}: must be text" for name in given if not isinstance(given[name], str)]
    if given.get("subject") and given.get("token"):
        mistakes.append("subject: must not stand beside token, which names one")
    if mistakes:
        raise ValueError("; ".join(sorted(mistakes)))
    token = given.get("token")
    return Asked(
        method=given["method"],
        target=quote(given["path"], safe=VISIBLE).encode("ascii"),
        subject=given.get("subject") or None,
        token=token.encode("utf-8", "surrogatepass") if token else None,
    )
