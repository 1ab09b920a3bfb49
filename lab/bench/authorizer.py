"""The authorization service that nginx's auth_request and Traefik's ForwardAuth ask.

Neither can verify a token or speak the User service's API, so that there is always such a service
in between. This one is as lean as they come: a token is verified once and remembered, connections
are kept, and each question becomes one `POST /authz/v1/check`.

    python -m lab.bench.authorizer PORT USER_SERVICE ISSUER AUDIENCE PUBLIC_KEY_FILE    (AUTHZ_SERVICE_TOKEN)
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Any

import jwt
import uvloop
from aiohttp import ClientSession, TCPConnector, web

from lab.bench.seed import PERMISSION

HEALTH_PATH = "/readyz"


class Authorizer:
    """Answers 200, 401 or 403 to whatever asks with a bearer token."""

    def __init__(self, session: ClientSession, issuer: str, audience: str, public_key: str) -> None:
        self._session = session
        self._issuer = issuer
        self._audience = audience
        self._public_key = public_key
        self._verified: dict[str, dict[str, Any]] = {}

    async def handle(self, request: web.BaseRequest) -> web.Response:
        if request.path == HEALTH_PATH:
            return web.Response()
        try:
            claims = self._claims(request.headers.get("Authorization", "").removeprefix("Bearer "))
        except jwt.InvalidTokenError:
            return web.Response(status=401)
        question = {
            "sub": claims["sub"],
            "permission": PERMISSION,
            "token_generation": claims["authz_gen"],
        }
        async with self._session.post("/authz/v1/check", json=question) as answer:
            answer.raise_for_status()
            allowed = (await answer.json())["allowed"]
        return web.Response(status=200 if allowed else 403)

    def _claims(self, token: str) -> dict[str, Any]:
        claims = self._verified.get(token)
        if claims is None:
            claims = self._verified[token] = jwt.decode(
                token, self._public_key, algorithms=["RS256"], issuer=self._issuer, audience=self._audience
            )
        if claims["exp"] <= time.time():
            raise jwt.ExpiredSignatureError
        return claims


async def serve(port: int, user_service: str, issuer: str, audience: str, public_key: str) -> None:
    authorization = {"Authorization": f"Bearer {os.environ['AUTHZ_SERVICE_TOKEN']}"}
    connector = TCPConnector(limit=32)
    async with ClientSession(user_service, headers=authorization, connector=connector) as session:
        authorizer = Authorizer(session, issuer, audience, public_key)
        runner = web.ServerRunner(web.Server(authorizer.handle, access_log=None, keepalive_timeout=3600))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    _, port, user_service, issuer, audience, public_key = sys.argv
    uvloop.run(serve(int(port), user_service, issuer, audience, Path(public_key).read_text()))
