"""Which keys are accepted, what they are called and what of them is published."""

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from authz_tokens import keys

PLAIN = NoEncryption()
RFC_7638_KEY = {
    "kty": "RSA",
    "n": (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc"
        "_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQ"
        "R0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bF"
        "TWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
    ),
    "e": "AQAB",
    "alg": "RS256",
    "kid": "2011-04-29",
}


def pem(private: object, encryption: KeySerializationEncryption = PLAIN) -> bytes:
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def test_the_thumbprint_is_the_one_of_the_rfc() -> None:
    assert keys.thumbprint(RFC_7638_KEY) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


@pytest.mark.parametrize(
    ("algorithm", "public_members"),
    [("RS256", {"n", "e"}), ("ES256", {"crv", "x", "y"}), ("EdDSA", {"crv", "x"})],
)
def test_only_the_public_half_is_published(algorithm: str, public_members: set[str]) -> None:
    key = keys.parse(pem(keys.GENERATE[algorithm]()), 12.5)
    assert set(key.jwk) == public_members | {"kty", "kid", "alg", "use"}
    assert (key.algorithm, key.jwk["alg"], key.jwk["use"]) == (algorithm, algorithm, "sig")
    assert key.kid == key.jwk["kid"] == keys.thumbprint(key.jwk)
    assert key.published_at == 12.5


UNUSABLE = {
    "empty": b"",
    "no PEM": b"\x00\xff not a key",
    "cut short": pem(ec.generate_private_key(ec.SECP256R1()))[:60],
    "public": rsa.generate_private_key(65537, 2048)
    .public_key()
    .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    "encrypted": pem(ec.generate_private_key(ec.SECP256R1()), BestAvailableEncryption(b"secret")),
    "short RSA": pem(rsa.generate_private_key(65537, 1024)),  # noqa: S505 (refused for that)
    "other curve": pem(ec.generate_private_key(ec.SECP384R1())),
    "other Edwards curve": pem(ed448.Ed448PrivateKey.generate()),
    "DSA": pem(dsa.generate_private_key(1024)),  # noqa: S505 (refused for that)
}


@pytest.mark.parametrize("content", UNUSABLE.values(), ids=UNUSABLE.keys())
def test_an_unusable_key_is_refused_with_the_reason(content: bytes) -> None:
    with pytest.raises(keys.BadKey, match=r"^not "):
        keys.parse(content, 0)
