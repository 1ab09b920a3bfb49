"""`/explain`: why a request would be let through or refused. A token comes in the body alone."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any
from urllib.parse import quote

from aiohttp import web

from authz_sidecar.core.naming import SEPARATOR
from authz_sidecar.explain import Asked
from authz_sidecar.explained import worded

Recent = Callable[[], list[dict[str, Any]]]
"""The latest refusals, as `observe.recent` lists them."""

KEYS = frozenset({"method", "path", "host", "subject", "user_field", "token"})
VISIBLE = "".join(map(chr, range(0x21, 0x7F)))

Explain = Callable[[Asked], Awaitable[dict[str, Any]]]


def handler(
    explain: Explain, count: Callable[[], Awaitable[None]], recent: Recent
) -> Callable[[web.Request], Awaitable[web.Response]]:
    """GET with a query that names a subject, or the id of a request that was refused a moment ago; POST with
    a JSON object that may hold a token instead. `count` is awaited before `recent` is asked."""

    async def answer(request: web.Request) -> web.Response:
        if "request_id" in request.query:
            await count()
            then = _refusal(request.query["request_id"], recent())
            found = await explain(question(_of(then)))
            return web.json_response({**found, "then": then, "lines": worded(found)})
        try:
            asked = question(await _given(request))
        except ValueError as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response(await explain(asked))

    return answer


def _refusal(request_id: str, recent: Iterable[dict[str, Any]]) -> dict[str, Any]:
    for each in recent:
        if each["request_id"] == request_id:
            return each
    message = "request_id: is not among the latest refusals; ask by what the decision log says of it"
    raise web.HTTPNotFound(text=json.dumps({"error": message}), content_type="application/json")


def _of(then: Mapping[str, Any]) -> dict[str, str]:
    named = {name: then[name] for name in ("subject", "user_field") if then[name]}
    return {"method": then["method"], "path": then["target"], **named}


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
    if SEPARATOR in str(given.get("subject")):
        mistakes.append("subject: must not hold the control character U+001F, which tokens cannot")
    if isinstance(given.get("host"), str) and not given["host"].isascii():
        mistakes.append("host: must be ASCII, as `Host` has it")
    if mistakes:
        raise ValueError("; ".join(sorted(mistakes)))
    token = given.get("token")
    return Asked(
        method=given["method"],
        target=quote(given["path"], safe=VISIBLE).encode("ascii"),
        subject=given.get("subject") or None,
        token=token.encode("utf-8", "surrogatepass") if token else None,
        host=given.get("host", ""),
        user_field=given.get("user_field") or None,
    )
