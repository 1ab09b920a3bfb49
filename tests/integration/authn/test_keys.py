"""The signing keys over a real socket: refreshed, kept while they cannot be, and asked for with restraint."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import ClientSession, ClientTimeout, web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import OKPAlgorithm

from authz_sidecar.authn import keys as module
from authz_sidecar.authn.keys import KeyRefresher
from authz_sidecar.config.issuer import Issuer
from authz_sidecar.core.verdicts import Code, Verdict
from lab import DEADLINE


def jwks(*kids: str) -> bytes:
    def jwk(kid: str) -> dict[str, Any]:
        return OKPAlgorithm.to_jwk(Ed25519PrivateKey.generate().public_key(), as_dict=True) | {"kid": kid}

    return json.dumps({"keys": [jwk(kid) for kid in kids]}).encode()


@dataclass
class Clock:
    now: float = 1000.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now


@dataclass
class Endpoint:
    """Serves keys, or fails, as told."""

    answer: Callable[[], web.Response]
    requests: int = 0
    open: asyncio.Event = field(default_factory=asyncio.Event)
    arrival: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def handle(self, _request: web.BaseRequest) -> web.StreamResponse:
        async with self.arrival:
            self.requests += 1
            self.arrival.notify_all()
        await self.open.wait()
        return self.answer()

    async def reached(self, requests: int) -> None:
        async with asyncio.timeout(DEADLINE), self.arrival:
            await self.arrival.wait_for(lambda: self.requests >= requests)

    def serve(self, body: bytes, status: int = 200, **headers: str) -> None:
        self.answer = lambda: web.Response(body=body, status=status, headers=headers)


@dataclass
class Rig:
    endpoint: Endpoint
    clock: Clock
    runner: web.ServerRunner
    settings: Issuer
    keys: KeyRefresher


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    endpoint = Endpoint(lambda: web.Response(body=jwks("one")))
    endpoint.open.set()
    runner = web.ServerRunner(web.Server(endpoint.handle))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    settings = Issuer(
        issuer="i",
        audiences=("a",),
        algorithms=frozenset({"EdDSA"}),
        type="at+jwt",
        leeway=5.0,
        revision_claims=True,
        jwks_url=f"http://{host}:{port}/.well-known/jwks.json",
        jwks_max_age=3600.0,
    )
    clock = Clock()
    async with ClientSession(timeout=ClientTimeout(total=DEADLINE)) as session:
        keys = KeyRefresher(session, settings, clock)
        yield Rig(endpoint, clock, runner, settings, keys)
        endpoint.open.set()
        await keys.stop()
    await runner.cleanup()


async def test_a_token_that_names_no_key_is_told_why(rig: Rig) -> None:
    rig.endpoint.serve(jwks("one", "two"))
    verdict = await rig.keys.learn((None, "EdDSA"))
    assert verdict == Verdict(
        Code.TOKEN_INVALID, "the access token does not name its key, and not exactly one key fits"
    )
    rig.endpoint.serve(jwks("two"))
    rig.clock.now += module.ASK_AGAIN_SECONDS
    assert await rig.keys.learn((None, "EdDSA")) is None


def code(verdict: Verdict | None) -> Code | None:
    return verdict and verdict.code


async def test_the_start_fetches_the_keys_in_the_background(rig: Rig) -> None:
    rig.endpoint.open.clear()
    await rig.keys.start()
    assert rig.keys.find(("one", "EdDSA")) is None
    rig.endpoint.open.set()
    async with asyncio.timeout(DEADLINE):
        assert await rig.keys.refresh()
    assert rig.keys.find(("one", "EdDSA")) is not None


async def test_the_background_goes_on_after_a_failure(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.0)
    rig.endpoint.serve(b"", 500)
    await rig.keys.start()
    await rig.endpoint.reached(3)
    monkeypatch.setattr(module, "REFRESH_SECONDS", 0.0)
    rig.endpoint.serve(jwks("two"))
    await rig.endpoint.reached(rig.endpoint.requests + 2)  # the first of them has been taken in by then
    assert rig.keys.find(("two", "EdDSA")) is not None


async def test_a_new_key_is_learned_and_a_removed_one_stops_at_once(rig: Rig) -> None:
    assert await rig.keys.refresh()
    one = rig.keys.find(("one", "EdDSA"))
    assert await rig.keys.refresh()
    assert rig.keys.find(("one", "EdDSA")) is not one, (
        "a key of the same name with other numbers is another key"
    )
    rig.endpoint.serve(jwks("two"))
    rig.clock.now += module.ASK_AGAIN_SECONDS
    assert await rig.keys.learn(("two", "EdDSA")) is None
    assert rig.keys.find(("one", "EdDSA")) is None


BAD_ANSWERS: list[tuple[bytes, int, dict[str, str]]] = [
    (b"", 500, {}),
    (jwks("evil"), 404, {}),
    (b"", 302, {"Location": "/elsewhere"}),
    (b"", 200, {}),
    (b"{}", 200, {}),
    (b'{"keys": []}', 200, {}),
    (b'{"keys": [{"kty": "oct", "kid": "evil", "k": "AA"}]}', 200, {}),
    (b"\xff", 200, {}),
    (b" " * (module.MAX_BYTES + 1), 200, {}),
    (b"junk", 200, {"Content-Encoding": "gzip"}),
]


@pytest.mark.parametrize(("body", "status", "fields"), BAD_ANSWERS)
async def test_a_bad_answer_never_replaces_the_good_keys(
    rig: Rig, body: bytes, status: int, fields: dict[str, str]
) -> None:
    assert await rig.keys.refresh()
    rig.endpoint.serve(body, status, **fields)
    assert not await rig.keys.refresh()
    assert rig.keys.find(("one", "EdDSA")) is not None
    assert rig.keys.find(("evil", "EdDSA")) is None
    assert code(await rig.keys.learn(("evil", "EdDSA"))) is Code.KEYS_UNKNOWN


async def test_an_endpoint_that_is_gone_is_not_an_unknown_key(rig: Rig) -> None:
    assert await rig.keys.refresh()
    await rig.runner.cleanup()
    rig.clock.now += module.ASK_AGAIN_SECONDS
    assert code(await rig.keys.learn(("two", "EdDSA"))) is Code.KEYS_UNKNOWN
    assert rig.keys.find(("one", "EdDSA")) is not None


async def test_an_endpoint_that_hangs_is_not_an_unknown_key(rig: Rig) -> None:
    rig.endpoint.open.clear()
    async with ClientSession(timeout=ClientTimeout(total=0.05)) as impatient:
        keys = KeyRefresher(impatient, rig.settings, rig.clock)
        assert code(await keys.learn(("one", "EdDSA"))) is Code.KEYS_UNKNOWN


async def test_old_keys_are_not_believed_for_ever(rig: Rig) -> None:
    assert await rig.keys.refresh()
    rig.endpoint.serve(b"", 503)
    rig.clock.now += 3600
    assert rig.keys.find(("one", "EdDSA")) is not None
    rig.clock.now += 1
    assert rig.keys.find(("one", "EdDSA")) is None
    assert code(await rig.keys.learn(("one", "EdDSA"))) is Code.KEYS_UNKNOWN
    rig.endpoint.serve(jwks("one"))
    rig.clock.now += module.ASK_AGAIN_SECONDS
    assert await rig.keys.learn(("one", "EdDSA")) is None


async def test_a_storm_of_unknown_keys_is_one_request(rig: Rig) -> None:
    assert await rig.keys.refresh()
    rig.clock.now += module.ASK_AGAIN_SECONDS
    rig.endpoint.open.clear()
    storm = [asyncio.create_task(rig.keys.learn((f"unknown-{number}", "EdDSA"))) for number in range(500)]
    await rig.endpoint.reached(2)
    storm[0].cancel()  # a client that leaves must not take the others' answer with it
    rig.endpoint.open.set()
    answers = await asyncio.gather(*storm, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert {code(answer) for answer in answers[1:] if not isinstance(answer, BaseException)} == {
        Code.TOKEN_INVALID
    }
    assert code(await rig.keys.learn(("unknown", "EdDSA"))) is Code.TOKEN_INVALID
    assert rig.endpoint.requests == 2


async def test_a_storm_while_the_endpoint_fails_is_one_request_too(rig: Rig) -> None:
    rig.endpoint.serve(b"", 500)
    answers = await asyncio.gather(*(rig.keys.learn((f"unknown-{number}", "EdDSA")) for number in range(100)))
    answers.append(await rig.keys.learn(("unknown", "EdDSA")))
    assert {code(answer) for answer in answers} == {Code.KEYS_UNKNOWN}
    assert rig.endpoint.requests == 1


async def test_stopping_in_the_middle_of_a_refresh(rig: Rig) -> None:
    rig.endpoint.open.clear()
    await rig.keys.start()
    await rig.endpoint.reached(1)
    async with asyncio.timeout(DEADLINE):
        await rig.keys.stop()


async def test_a_key_that_did_not_fit_a_token_without_a_name_may_be_another_by_now(rig: Rig) -> None:
    name = (None, "EdDSA")
    assert await rig.keys.learn(name) is None
    tried = rig.keys.find(name)
    assert await rig.keys.learn(name, tried) == Verdict(
        Code.TOKEN_INVALID, "the access token has a bad signature"
    )
    rig.endpoint.serve(jwks("one"))
    assert await rig.keys.learn(name, tried) is not None  # asked for a moment ago
    rig.clock.now += module.ASK_AGAIN_SECONDS
    assert await rig.keys.learn(name, tried) is None
    assert rig.keys.find(name) is not tried
