"""A JSON Web Key Set (RFC 7517) as the keys we can verify with."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWK, PyJWTError

from authz_sidecar.core.errors import MalformedMessage

MIN_RSA_BITS = 2048

# Which algorithms a key can be used with is a matter of its type, never of what a token says.
_ALGORITHMS: Mapping[tuple[str, str | None], frozenset[str]] = MappingProxyType(
    {
        ("RSA", None): frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}),
        ("EC", "P-256"): frozenset({"ES256"}),
        ("EC", "P-384"): frozenset({"ES384"}),
        ("EC", "P-521"): frozenset({"ES512"}),
        ("OKP", "Ed25519"): frozenset({"EdDSA"}),
    }
)
_PUBLIC_MEMBERS = ("kty", "crv", "x", "y", "n", "e")


@dataclass(frozen=True, slots=True)
class Key:
    """One public key. Two are equal when they verify the same signatures under the same name.

    `members` are the numbers themselves: keys that have the same are copies of one key.
    """

    kid: str
    algorithms: frozenset[str]
    members: tuple[tuple[str, str], ...]
    public: Any = field(compare=False, repr=False)


KeyName = tuple[str | None, str]
"""What a token says of its key: the `kid`, or `None` where it names none, and the algorithm."""


@dataclass(frozen=True, slots=True)
class KeySet:
    """Keys by all the names that tokens may call them by."""

    keys: Mapping[KeyName, Key]
    ambiguous: frozenset[str] = frozenset()
    """Each `kid` that two different keys have for one algorithm: which of them is meant cannot be told."""

    @classmethod
    def parse(cls, body: bytes) -> KeySet:
        """Keys of no use to us are left out (RFC 7517 §5). Raises MalformedMessage when none remain."""
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            raise MalformedMessage("key set: not JSON") from None
        members = document.get("keys") if isinstance(document, dict) else None
        if not isinstance(members, list):
            raise MalformedMessage("keys: expected a list")
        found = [key for key in map(_key, members) if key is not None]
        if not found:
            raise MalformedMessage("keys: none can verify a signature")
        keys = cls.of(found)
        if not keys.keys:
            raise MalformedMessage("keys: different ones have the same kid and algorithm")
        return keys

    @classmethod
    def of(cls, keys: Iterable[Key]) -> KeySet:
        """One `kid` may stand for several keys (RFC 7517 §4.5), as long as the algorithm tells them apart."""
        fitting: dict[KeyName, dict[tuple[tuple[str, str], ...], Key]] = {}
        for key in keys:
            for algorithm in key.algorithms:
                for kid in (key.kid, None):
                    fitting.setdefault((kid, algorithm), {}).setdefault(key.members, key)
        clear = {name: next(iter(fit.values())) for name, fit in fitting.items() if len(fit) == 1}
        ambiguous = frozenset(kid for kid, algorithm in fitting.keys() - clear.keys() if kid is not None)
        return cls(MappingProxyType(clear), ambiguous)

    @property
    def kids(self) -> list[str]:
        """The names of the keys that can be told apart."""
        return sorted({key.kid for key in self.keys.values()})

    def after(self, before: KeySet) -> KeySet:
        """The same set, with the very objects of the set before it where a key stayed equal."""
        kept = {name: old for name, old in before.keys.items() if self.keys.get(name) == old}
        return KeySet(MappingProxyType({**self.keys, **kept}), self.ambiguous)


EMPTY = KeySet(MappingProxyType({}))


def _key(jwk: object) -> Key | None:
    """A key we can verify with, or `None`."""
    if not isinstance(jwk, dict) or not _for_signatures(jwk):
        return None
    members = {name: jwk[name] for name in _PUBLIC_MEMBERS if name in jwk}
    kid = jwk.get("kid")
    if not (isinstance(kid, str) and kid and all(isinstance(value, str) for value in members.values())):
        return None
    algorithms = _algorithms(members, jwk.get("alg"))
    public = _public(members, algorithms)
    return None if public is None else Key(kid, algorithms, tuple(members.items()), public)


def _for_signatures(jwk: dict[str, Any]) -> bool:
    operations = jwk.get("key_ops", ["verify"])
    return jwk.get("use", "sig") == "sig" and isinstance(operations, list) and "verify" in operations


def _algorithms(members: Mapping[str, str], named: object) -> frozenset[str]:
    possible = _ALGORITHMS.get((members.get("kty", ""), members.get("crv")), frozenset())
    return frozenset(algorithm for algorithm in possible if named in (None, algorithm))


def _public(members: dict[str, str], algorithms: frozenset[str]) -> Any:
    if not algorithms:
        return None
    try:
        public = PyJWK(members, min(algorithms)).key
    except (PyJWTError, UnsupportedAlgorithm, ValueError, TypeError):
        return None
    too_short = isinstance(public, RSAPublicKey) and public.key_size < MIN_RSA_BITS
    return None if too_short else public
