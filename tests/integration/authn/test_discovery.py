"""Keys found by OpenID discovery over a real socket: only the issuer's own document leads to any."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import ClientSession, ClientTimeout, web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import OKPAlgorithm

from authz_sidecar.authn.keys import IssuersKeys, discovered
from authz_sidecar.config.issuer import Issuer
from authz_sidecar.core.errors import MalformedMessage
from lab import DEADLINE

CONFIGURATION = "/realms/school/.well-known/openid-configuration"


class Clock:
    def monotonic(self) -> float:
        return 1000.0

    def wall(self) -> float:
        return 1000.0


@dataclass
class Provider:
    """Answers what it was told to, by path."""

    url: str = ""
    answers: dict[str, Any] = field(default_factory=dict)

    async def handle(self, request: web.BaseRequest) -> web.Response:
        if request.path not in self.answers:
            return web.Response(status=404)
        return web.json_response(self.answers[request.path])

    @property
    def issuer(self) -> Issuer:
        return Issuer(
            issuer=f"{self.url}/realms/school",
            audiences=("a",),
            algorithms=frozenset({"EdDSA"}),
            type="JWT",
            leeway=5.0,
            revision_claims=False,
            jwks_url=None,
            jwks_max_age=3600.0,
        )

    def publish(self, *kids: str, path: str = "/keys") -> None:
        public = Ed25519PrivateKey.generate().public_key()
        keys = [OKPAlgorithm.to_jwk(public, as_dict=True) | {"kid": kid} for kid in kids]
        self.answers[path] = {"keys": keys}
        self.answers[CONFIGURATION] = {"issuer": self.issuer.issuer, "jwks_uri": f"{self.url}{path}"}


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    made = Provider()
    runner = web.ServerRunner(web.Server(made.handle))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    made.url = f"http://{host}:{port}"
    yield made
    await runner.cleanup()


async def kids(provider: Provider) -> tuple[tuple[str, ...], str | None]:
    """What is fetched once: the keys, or why there are none."""
    async with ClientSession(timeout=ClientTimeout(total=DEADLINE)) as session:
        keys = IssuersKeys(session, [provider.issuer], Clock())
        await keys.refreshers[provider.issuer.issuer].refresh()
        status = keys.status()
    return status.kids, status.failure


async def test_the_keys_are_where_the_document_says(provider: Provider) -> None:
    provider.publish("one", "two")
    assert await kids(provider) == (("one", "two"), None)
    provider.publish("three", path="/moved")
    assert await kids(provider) == (("three",), None)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"issuer": "http://another/realms/school"}, "discovery: issuer: is another"),
        ({"issuer": None}, "discovery: issuer: is another"),
        ({"jwks_uri": None}, "discovery: jwks_uri: must be a URL"),
        ({"jwks_uri": "file:///etc/passwd"}, "discovery: jwks_uri: must be a URL"),
        ({"jwks_uri": "//keys"}, "discovery: jwks_uri: must be a URL"),
    ],
)
async def test_what_is_not_the_issuer_s_own_document_leads_to_no_keys(
    provider: Provider, changes: dict[str, Any], why: str
) -> None:
    provider.publish("one")
    provider.answers[CONFIGURATION] |= changes
    assert await kids(provider) == ((), f"{provider.issuer.discovery_url}: {why}")


@pytest.mark.parametrize("answer", [[], "x", None])
async def test_a_document_that_is_none(provider: Provider, answer: Any) -> None:
    provider.publish("one")
    provider.answers[CONFIGURATION] = answer
    assert (await kids(provider))[0] == ()


async def test_without_a_document_nothing_is_guessed(provider: Provider) -> None:
    provider.publish("one", path="/realms/school/.well-known/jwks.json")
    del provider.answers[CONFIGURATION]
    assert await kids(provider) == ((), f"{provider.issuer.discovery_url}: answered 404")


def test_a_protected_document_does_not_lead_to_unprotected_keys() -> None:
    issuer = Provider("https://id.example").issuer
    document = {"issuer": issuer.issuer, "jwks_uri": "http://id.example/keys"}
    with pytest.raises(MalformedMessage, match="https"):
        discovered(json.dumps(document).encode(), issuer)
    document["jwks_uri"] = "https://keys.example/keys"
    assert discovered(json.dumps(document).encode(), issuer) == "https://keys.example/keys"
