"""Signing keys: private PEM files in one directory. All are published; the newest ripe one signs."""

import hashlib
import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.utils import base64url_encode

from authz_tokens.conf import settings

logger = logging.getLogger(__name__)

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | Ed25519PrivateKey

GENERATE: dict[str, Callable[[], PrivateKey]] = {
    "RS256": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": Ed25519PrivateKey.generate,
}
TO_JWK: dict[str, Callable[..., Any]] = {
    "RS256": RSAAlgorithm.to_jwk,
    "ES256": ECAlgorithm.to_jwk,
    "EdDSA": OKPAlgorithm.to_jwk,
}
# RFC 7638 section 3.2 and RFC 8037 section 2: what makes a public key this key and no other.
IDENTITY = {"RSA": ("e", "kty", "n"), "EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x")}


class BadKey(ValueError):
    """A file that holds no key we can sign with; the message says why and never shows its content."""


@dataclass(frozen=True)
class SigningKey:
    kid: str
    algorithm: str
    private: PrivateKey
    jwk: dict[str, Any]
    """The public half, as published."""
    published_at: float
    """Unix seconds."""


def published() -> Sequence[SigningKey]:
    """Every usable key of the directory, which is read again whenever it changes."""
    return _load(_signature(settings.AUTH_KEYS_DIR))


def signer() -> SigningKey | None:
    """The newest key that has been published for long enough; while none has, the oldest."""
    keys = sorted(published(), key=lambda key: (key.published_at, key.kid))
    ripe_since = time.time() - settings.AUTH_KEY_PUBLISH_SECONDS
    ripe = [key for key in keys if key.published_at <= ripe_since]
    return ripe[-1] if ripe else next(iter(keys), None)


def parse(pem: bytes, published_at: float) -> SigningKey:
    """Raises `BadKey`."""
    try:
        loaded = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as problem:
        raise BadKey("not an unencrypted private key in PEM form") from problem
    private, algorithm = _usable(loaded)
    jwk: dict[str, Any] = TO_JWK[algorithm](private.public_key(), as_dict=True)
    kid = thumbprint(jwk)
    public = {name: jwk[name] for name in IDENTITY[jwk["kty"]]}
    public |= {"kid": kid, "alg": algorithm, "use": "sig"}
    return SigningKey(kid, algorithm, private, public, published_at)


def thumbprint(jwk: dict[str, Any]) -> str:
    """RFC 7638."""
    identity = {name: jwk[name] for name in IDENTITY[jwk["kty"]]}
    canonical = json.dumps(identity, sort_keys=True, separators=(",", ":")).encode()
    return base64url_encode(hashlib.sha256(canonical).digest()).decode()


def _usable(private: object) -> tuple[PrivateKey, str]:
    """The key with its algorithm. Raises `BadKey`."""
    match private:
        case rsa.RSAPrivateKey() if private.key_size >= 2048:
            return private, "RS256"
        case ec.EllipticCurvePrivateKey() if isinstance(private.curve, ec.SECP256R1):
            return private, "ES256"
        case Ed25519PrivateKey():
            return private, "EdDSA"
    raise BadKey("not RSA of at least 2048 bits, P-256 or Ed25519")


FileSignature = tuple[Path, int, int]
"""Path, modification time in nanoseconds, size."""


def _signature(directory: Path) -> tuple[FileSignature, ...]:
    files = []
    for path in sorted(directory.glob("*.pem")):
        try:
            stat = path.stat()
        except FileNotFoundError:  # removed since it was listed
            continue
        files.append((path, stat.st_mtime_ns, stat.st_size))
    return tuple(files)


@lru_cache(maxsize=1)
def _load(files: tuple[FileSignature, ...]) -> tuple[SigningKey, ...]:
    """One bad file must not end the service: it is logged and left out."""
    keys = []
    for path, modified, _ in files:
        try:
            keys.append(parse(path.read_bytes(), _published_at(path, modified)))
        except (BadKey, OSError) as problem:
            logger.error("Signing key %s is left out: %s", path.name, problem)
    return tuple(keys)


def _published_at(path: Path, modified: int) -> float:
    """The time that the name says, like 20261127T090000Z.pem, or else that of the file.

    Who writes all files anew whenever one is added, as Kubernetes does with a Secret's, says it by the name.
    """
    try:
        named = datetime.strptime(path.stem, "%Y%m%dT%H%M%SZ")  # noqa: DTZ007 (the Z is matched, and UTC set below)
    except ValueError:
        return modified / 1e9
    return named.replace(tzinfo=UTC).timestamp()
