"""Keys of every accepted kind, and tokens signed with them: well-formed ones and all the others."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import get_default_algorithms

from authz_sidecar.config.issuer import Issuer

NOW = 1_800_000_000.0
HEADER = {"typ": "at+jwt", "alg": "RS256", "kid": "rsa"}
CLAIMS = {
    "iss": "http://issuer",
    "aud": "student-service",
    "sub": "17",
    "iat": NOW,
    "exp": NOW + 300,
    "authz_gen": 0,
    "authz_rev": "3f2a9c1b.12",
}
ALGORITHMS = {
    "rsa": "RS256",
    "other-rsa": "RS256",
    "short-rsa": "RS256",
    "p256": "ES256",
    "p384": "ES384",
    "ed": "EdDSA",
}


def encode(part: object) -> bytes:
    """One part of a token: bytes and text as they are, anything else as JSON."""
    text = part if isinstance(part, str | bytes) else json.dumps(part)
    return urlsafe_b64encode(text if isinstance(text, bytes) else text.encode()).rstrip(b"=")


class Signer:
    """Private keys by `kid`."""

    def __init__(self) -> None:
        self.private: dict[str, Any] = {
            "rsa": rsa.generate_private_key(public_exponent=65537, key_size=2048),
            "other-rsa": rsa.generate_private_key(public_exponent=65537, key_size=2048),
            "short-rsa": rsa.generate_private_key(public_exponent=65537, key_size=1024),  # noqa: S505 (it must be refused)
            "p256": ec.generate_private_key(ec.SECP256R1()),
            "p384": ec.generate_private_key(ec.SECP384R1()),
            "ed": Ed25519PrivateKey.generate(),
        }

    def jwk(self, kid: str, /, **members: object) -> dict[str, Any]:
        algorithm: Any = get_default_algorithms()[ALGORITHMS[kid]]
        public = algorithm.to_jwk(self.private[kid].public_key(), as_dict=True)
        return public | {"kid": kid, "use": "sig"} | members

    def jwks(self, *jwks: object) -> bytes:
        return json.dumps({"keys": jwks}).encode()

    def token(
        self, header: object = HEADER, claims: object = CLAIMS, *, kid: str = "rsa", algorithm: str = ""
    ) -> bytes:
        """Signed with the key `kid`, and in its own way unless told, whatever the header says."""
        signed = encode(header) + b"." + encode(claims)
        signer: Any = get_default_algorithms()[algorithm or ALGORITHMS[kid]]
        return signed + b"." + encode(signer.sign(signed, self.private[kid]))


@pytest.fixture(scope="session")
def signer() -> Signer:
    return Signer()


@pytest.fixture(scope="session")
def jwt_settings() -> Issuer:
    return Issuer(
        issuer="http://issuer",
        audiences=("student-service",),
        algorithms=frozenset({"RS256", "ES256", "EdDSA"}),
        type="at+jwt",
        leeway=5.0,
        revision_claims=True,
        jwks_url="http://issuer/.well-known/jwks.json",
        jwks_max_age=3600.0,
    )
