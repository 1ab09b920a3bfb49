"""Access tokens for the campaign's users, signed with the User service's own key.

Clients keep their tokens while the User service is down, and a password costs half a second of
processor time to verify: so tokens are not asked for but made here, from the newest archived state.
"""

from __future__ import annotations

import time
from pathlib import Path
from threading import Lock
from typing import NamedTuple, cast

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from lab.campaign.archiver import Archiver

LIFETIME = 300
RENEWED_AFTER = 30.0


class Token(NamedTuple):
    text: str
    made_at: float


class Mint:
    """`key_id`: the one under which the key is published."""

    def __init__(self, key_path: Path, key_id: str, issuer: str, archiver: Archiver) -> None:
        self._key = cast(RSAPrivateKey, load_pem_private_key(key_path.read_bytes(), password=None))
        self._key_id = key_id
        self._issuer = issuer
        self._archiver = archiver
        self._kept: dict[str, Token] = {}
        self._lock = Lock()

    def token(self, sub: str) -> str:
        """One for the Student service; an old one for a while, as clients do."""
        with self._lock:
            token = self._kept.get(sub)
            if token is None or time.time() - token.made_at > RENEWED_AFTER:
                token = self._kept[sub] = Token(self.make(sub, "student-service"), time.time())
            return token.text

    def refused(self, sub: str) -> None:
        """The token was refused: the next one is new."""
        with self._lock:
            self._kept.pop(sub, None)

    def make(self, sub: str, audience: str) -> str:
        """A new token, with the claims that the User service puts into it."""
        epoch, revision = self._archiver.position
        state = self._archiver.states.get(("user", sub), {})
        now = int(time.time())
        claims = {
            "iss": self._issuer,
            "aud": audience,
            "sub": sub,
            "iat": now,
            "exp": now + LIFETIME,
            "jti": f"{sub}-{time.time_ns()}",
            "authz_gen": state.get("token_generation", 0),
            "authz_rev": f"{epoch[:8]}.{revision}",
        }
        return jwt.encode(claims, self._key, "RS256", {"typ": "at+jwt", "kid": self._key_id})
