"""Access tokens: JSON Web Tokens (RFC 7519) in compact form, verified once and then remembered."""

from __future__ import annotations

import binascii
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NamedTuple, NoReturn, Protocol

from jwt.algorithms import get_default_algorithms

from authz_sidecar.authn import claims
from authz_sidecar.authn.key_set import Key, KeyName
from authz_sidecar.config.issuer import Issuer
from authz_sidecar.core.errors import Refused
from authz_sidecar.core.ports import Pending
from authz_sidecar.core.remembered import Remembered
from authz_sidecar.core.verdicts import Code, Identity, Verdict

MAX_TOKEN_BYTES = 16 * 1024
LARGEST_ENTRY: Final = 3 * MAX_TOKEN_BYTES
REMEMBERED_BYTES = 8 * 1024 * 1024
"""For good tokens: thousands of usual ones. A token is remembered whatever its size."""

_ALGORITHMS = get_default_algorithms()


class Keys(Protocol):
    """Where keys come from."""

    def find(self, name: KeyName) -> Key | None:
        """The key of this name, if it is at hand."""

    async def learn(self, name: KeyName, tried: Key | None = None) -> Verdict | None:
        """Ask for a key that is not at hand: `None` once it is, else why the token cannot be accepted.

        `tried`: the one at hand, where it did not verify a token that names none: it may be another by now.
        """


class _Verified(NamedTuple):
    """A token that was found good, the key it was verified with, and when it is valid (Unix seconds)."""

    identity: Identity
    name: KeyName
    key: Key
    valid_from: float
    valid_until: float
    weighed: tuple[frozenset[str], bytes]
    """What of the identity takes memory beyond the token's own, here to be counted."""


@dataclass(frozen=True, slots=True)
class _Token:
    """The parts of a token that nothing is believed about yet."""

    header: dict[str, Any]
    payload: bytes
    signed: bytes
    signature: bytes


class _KeyMissing(Exception):
    """The key that a token names is not at hand, or it names none and the one that was `tried` is not it."""

    def __init__(self, name: KeyName, tried: Key | None) -> None:
        super().__init__(name)
        self.name = name
        self.tried = tried


class TokenAuthenticator:
    """Accepts one issuer's tokens, only with the algorithm, key, type and claims that it and the key allow.

    `jku`, `x5u`, `jwk` and `x5c` in a token's header are never looked at.
    """

    def __init__(self, settings: Issuer, keys: Keys) -> None:
        self._settings = settings
        self._keys = keys
        self._remembered = Remembered(self._verify, REMEMBERED_BYTES, largest_entry=LARGEST_ENTRY)

    def authenticate(self, token: bytes, now: float) -> Identity | Pending:
        """`now` in Unix seconds. Raises Refused."""
        try:
            verified = self._remembered[token]
            if self._keys.find(verified.name) is not verified.key:
                self._remembered.forget(token)
                verified = self._remembered[token]
        except _KeyMissing as missing:
            return partial(self._keys.learn, missing.name, missing.tried)
        if verified.valid_from <= now < verified.valid_until:
            return verified.identity
        self._remembered.forget(token)
        if now < verified.valid_from:
            raise _invalid("is not valid yet")
        raise Refused(Code.TOKEN_EXPIRED, "the access token has expired")

    def _check_header(self, header: dict[str, Any]) -> KeyName:
        """The name of the key, when nothing else in the header is against the token."""
        kind, algorithm = header.get("typ"), header.get("alg")
        if self._settings.type and _media_type(kind) != _media_type(self._settings.type):
            raise _invalid(f"is not of type {self._settings.type}")
        if not isinstance(algorithm, str) or algorithm not in self._settings.algorithms:
            raise _invalid("is not signed with an accepted algorithm")
        if "crit" in header:
            raise _invalid("has critical extensions, and none is understood")
        if "kid" not in header:
            return None, algorithm
        kid = header["kid"]
        if not isinstance(kid, str):
            raise _invalid("names its key by what is no string")
        return kid, algorithm

    def _verify(self, raw: bytes) -> _Verified:
        token = _parse(raw)
        name = self._check_header(token.header)
        key = self._keys.find(name)
        if key is None:
            raise _KeyMissing(name, None)
        if not _ALGORITHMS[name[1]].verify(token.signed, key.public, token.signature):
            if name[0] is None:
                raise _KeyMissing(name, key)
            raise _invalid("has a bad signature")
        identity = claims.identity(_object(token.payload), self._settings, key.kid, token.payload)
        valid_from = (identity.not_before or 0) - self._settings.leeway
        weighed = (identity.scopes, identity.claims)
        return _Verified(identity, name, key, valid_from, identity.expires_at, weighed)


def named_issuer(token: bytes) -> str | None:
    """The `iss` of a token that nothing is believed about yet. Raises Refused."""
    issuer = _object(_parse(token).payload).get("iss")
    return issuer if isinstance(issuer, str) else None


def _parse(token: bytes) -> _Token:
    """Split a compact JWS (RFC 7515 §7.1)."""
    if len(token) > MAX_TOKEN_BYTES:
        raise _invalid(f"is longer than {MAX_TOKEN_BYTES} bytes")
    parts = token.split(b".")
    if len(parts) != 3:
        raise _malformed()
    header, payload, signature = [_decode(part) for part in parts]
    return _Token(_object(header), payload, token.rpartition(b".")[0], signature)


def _decode(part: bytes) -> bytes:
    """Base64url as RFC 7515 §2 has it: no padding, no foreign bytes, one form only."""
    try:
        decoded = urlsafe_b64decode(part + b"=" * (-len(part) % 4))
    except binascii.Error:
        raise _malformed() from None
    if urlsafe_b64encode(decoded).rstrip(b"=") != part:
        raise _malformed()
    return decoded


def _object(text: bytes) -> dict[str, Any]:
    """A JSON object in UTF-8 whose names are unique (RFC 7519 §4)."""
    try:
        value = json.loads(text.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise _malformed() from None
    if not isinstance(value, dict):
        raise _malformed()
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("a name occurs twice")
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _media_type(name: object) -> str | None:
    """Media types ignore case, and "application/" may be left out (RFC 7515 §4.1.9)."""
    return name.lower().removeprefix("application/") if isinstance(name, str) else None


def _malformed() -> Refused:
    return _invalid("is malformed")


def _invalid(message: str) -> Refused:
    return Refused(Code.TOKEN_INVALID, f"the access token {message}")
