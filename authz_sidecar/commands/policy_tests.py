"""The tests of a policy file, each put to the real pipeline: real token, real rules, supposed grants."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt import api_jws

from authz_sidecar.authn.key_set import Key, KeyName
from authz_sidecar.authn.tokens import TokenAuthenticator
from authz_sidecar.authz.supposed import Supposed
from authz_sidecar.config.issuer import Issuer
from authz_sidecar.config.policy_file import Expectation
from authz_sidecar.config.policy_model import ExpectationModel
from authz_sidecar.core.fields import of_request
from authz_sidecar.core.policy import Policy
from authz_sidecar.core.verdicts import Decision, RequestHead, Verdict
from authz_sidecar.pipeline import Pipeline
from authz_sidecar.process import SystemClock

LIFE_SECONDS: Final = 3600
KEY_ID: Final = "tests"
_VISIBLE: Final = "".join(map(chr, range(0x21, 0x7F)))

_MAKERS: Final[Mapping[str, Callable[[], Any]]] = {
    "EdDSA": Ed25519PrivateKey.generate,
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ES384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "ES512": lambda: ec.generate_private_key(ec.SECP521R1()),
}
"""The others are of RSA, and slow to make."""


@dataclass(frozen=True, slots=True)
class Result:
    """What one test expected, and what was decided."""

    expectation: Expectation
    decision: Decision

    @property
    def passed(self) -> bool:
        return self.decision.verdict.code == self.expectation.model.expect


class Signer:
    """Signs as an issuer is to, with a key of its own that no running sidecar knows."""

    def __init__(self, settings: Issuer) -> None:
        self._settings = settings
        accepted = settings.algorithms
        self._algorithm = next((each for each in _MAKERS if each in accepted), None) or min(accepted)
        make = _MAKERS.get(self._algorithm) or (lambda: rsa.generate_private_key(65537, 2048))
        self._private = make()
        self._key = Key(KEY_ID, frozenset({self._algorithm}), (), self._private.public_key())

    def token(self, claims: Mapping[str, Any]) -> bytes:
        """With usual claims beside the given ones; `None` leaves one out."""
        now = int(time.time())
        usual = {
            "iss": self._settings.issuer,
            "aud": self._settings.audiences[0],
            "sub": "tested",
            self._settings.subject_claim: "tested",
            "email_verified": True,
            "iat": now,
            "exp": now + LIFE_SECONDS,
            "authz_gen": 0,
        }
        kept = {name: value for name, value in {**usual, **claims}.items() if value is not None}
        headers = {"kid": KEY_ID, "typ": self._settings.type or "JWT"}
        # Not `jwt.encode`, which judges the claims: here they may be as wrong as a client's.
        payload = json.dumps(kept, default=str).encode()
        return api_jws.encode(payload, self._private, self._algorithm, headers).encode()

    def find(self, name: KeyName) -> Key | None:
        return self._key if name == (KEY_ID, self._algorithm) else None

    async def learn(self, name: KeyName, tried: Key | None = None) -> Verdict | None:
        raise AssertionError("every token is signed with the one key there is")


def run(policy: Policy, settings: Issuer, tests: Iterable[Expectation]) -> list[Result]:
    """All of them, in their order."""
    signer = Signer(settings)
    authenticator = TokenAuthenticator(settings, signer)
    results = []
    for test in tests:
        held = frozenset(test.model.permissions or ())
        supposed = Supposed.holding(held, superuser=test.model.superuser)
        decides = Pipeline(policy, authenticator, supposed, SystemClock())
        decision = decides.decide(_request(test.model, signer), request_id="test")
        if not isinstance(decision, Decision):
            raise TypeError("nothing has to be waited for here")
        results.append(Result(test, decision))
    return results


def _request(test: ExpectationModel, signer: Signer) -> RequestHead:
    pairs = [(b"Host", (test.host or "test").encode())]
    if test.permissions is not None or test.superuser or test.claims is not None:
        pairs.append((b"Authorization", b"Bearer " + signer.token(test.claims or {})))
    target = quote(test.path, safe=_VISIBLE).encode("ascii")
    return RequestHead(test.method, target, of_request(pairs), "127.0.0.1")
