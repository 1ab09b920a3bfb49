"""A real OpenID provider: its keys are discovered, and its tokens go on being good when its key changes."""

from __future__ import annotations

import json
import sys
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import parse_qs, urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener, urlopen

import pytest
from aiohttp import ClientSession, ClientTimeout

from authz_sidecar.authn import issuers
from authz_sidecar.authn import keys as module
from authz_sidecar.authn.keys import IssuersKeys
from authz_sidecar.config.issuer import Issuer
from authz_sidecar.core.ports import Authenticator
from authz_sidecar.core.verdicts import Identity, Verdict
from lab import DEADLINE
from lab.stack.process import Process, free_port, wait_for

CLIENT, CALLBACK = "student-service", "https://app.example/callback"


class Clock:
    ahead = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead

    def wall(self) -> float:
        return time.time()


class _Here(HTTPRedirectHandler):
    """The browser that a code is sent back to: it goes nowhere."""

    def redirect_request(self, *_: Any) -> None:
        return None


def read(url: str | Request) -> Any:
    with urlopen(url, timeout=DEADLINE) as answer:  # noqa: S310 (our own provider)
        return json.load(answer)


def signed_in(url: str, sub: str) -> bytes:
    """The signed token of a user who has just signed in, by the authorization code flow."""
    places = read(f"{url}/.well-known/openid-configuration")
    asked = {
        "client_id": CLIENT,
        "redirect_uri": CALLBACK,
        "response_type": "code",
        "scope": "openid",
        "nonce": "n",
    }
    with pytest.raises(HTTPError) as redirected:
        build_opener(_Here).open(
            f"{places['authorization_endpoint']}?{urlencode(asked)}", data=urlencode({"sub": sub}).encode()
        )
    redirected.value.close()
    (code,) = parse_qs(urlsplit(redirected.value.headers["Location"]).query)["code"]
    body = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK}
    request = Request(places["token_endpoint"], data=urlencode(body).encode())  # noqa: S310 (our own provider)
    request.add_header("Authorization", f"Basic {b64encode(f'{CLIENT}:any'.encode()).decode()}")
    return str(read(request)["id_token"]).encode()


@contextmanager
def provider(port: int, log: Path) -> Iterator[str]:
    """It makes a new key whenever it starts."""
    url = f"http://127.0.0.1:{port}"
    argv = [sys.executable, "-m", "oidc_provider_mock", "--host", "127.0.0.1", "--port", str(port)]
    process = Process(argv, log_path=log)
    process.start()
    try:
        wait_for(lambda: read(f"{url}/jwks"), 60.0, "the OpenID provider", process)
        yield url
    finally:
        process.stop()


async def judged(authenticator: Authenticator, token: bytes) -> Identity | Verdict:
    """After all the waiting that it takes."""
    found = authenticator.authenticate(token, time.time())
    while not isinstance(found, Identity):
        verdict = await found()
        if verdict is not None:
            return verdict
        found = authenticator.authenticate(token, time.time())
    return found


async def test_its_tokens_are_good_before_and_after_its_key_changes(tmp_path: Path) -> None:
    port, clock = free_port(), Clock()
    issuer = Issuer(
        issuer=f"http://127.0.0.1:{port}",
        audiences=(CLIENT,),
        algorithms=frozenset({"RS256"}),
        type="JWT",
        leeway=5.0,
        revision_claims=False,
        jwks_url=None,
        jwks_max_age=3600.0,
    )
    async with ClientSession(timeout=ClientTimeout(total=DEADLINE)) as session:
        keys = IssuersKeys(session, [issuer], clock)
        authenticator = issuers.authenticator([issuer], keys.by_issuer)
        with provider(port, tmp_path / "first.log") as url:
            first = signed_in(url, "17")
            found = await judged(authenticator, first)
            assert isinstance(found, Identity)
            assert (found.subject, found.issuer) == ("17", issuer.issuer)
        clock.ahead += module.ASK_AGAIN_SECONDS
        with provider(port, tmp_path / "second.log") as url:
            found = await judged(authenticator, signed_in(url, "18"))
            assert isinstance(found, Identity)
            assert found.subject == "18"
            assert not isinstance(await judged(authenticator, first), Identity)
