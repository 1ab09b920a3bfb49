"""Signing keys that are made from the seed, published before they sign, and access tokens."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from random import Random
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ISSUER, AUDIENCE = "https://users.test", "students"
OTHER_ISSUER = "https://elsewhere.test"
"""Its tokens know nothing of generations and revisions."""
LEEWAY = 5.0
LIFETIME = 300
KEPT = 2
"""Keys that are published at once."""


class Signer:
    """Signs with the oldest key that is published, so that every verifier has had time to learn it."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._made = 0
        self._keys: list[tuple[str, Ed25519PrivateKey]] = []
        for _ in range(KEPT):
            self._add()

    def rotate(self) -> None:
        """The oldest key signs no more and is no longer published."""
        self._add()
        self._keys.pop(0)

    def _add(self) -> None:
        self._made += 1
        key = Ed25519PrivateKey.from_private_bytes(self._random.randbytes(32))
        self._keys.append((f"key-{self._made}", key))

    @property
    def kid(self) -> str:
        return self._keys[0][0]

    def publishes(self, kid: str) -> bool:
        return any(kid == name for name, _ in self._keys)

    def published(self) -> bytes:
        """The key set."""
        return json.dumps({"keys": [_public(kid, key) for kid, key in self._keys]}).encode()

    def sign(self, claims: dict[str, Any]) -> bytes:
        kid, key = self._keys[0]
        header = {"alg": "EdDSA", "kid": kid, "typ": "at+jwt"}
        signed = b".".join(_encode(json.dumps(part).encode()) for part in (header, claims))
        return signed + b"." + _encode(key.sign(signed))


def _public(kid: str, key: Ed25519PrivateKey) -> dict[str, str]:
    x = _encode(key.public_key().public_bytes_raw()).decode()
    return {"kty": "OKP", "crv": "Ed25519", "kid": kid, "alg": "EdDSA", "use": "sig", "x": x}


def _encode(octets: bytes) -> bytes:
    return urlsafe_b64encode(octets).rstrip(b"=")
