"""A key set holds exactly the keys we can verify with."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from authz_sidecar.authn.key_set import EMPTY, KeySet
from authz_sidecar.core.errors import MalformedMessage

RSA = {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}


@pytest.mark.parametrize(
    ("kid", "members", "algorithms"),
    [
        ("rsa", {}, RSA),
        ("rsa", {"alg": "PS256", "key_ops": ["verify"], "x5c": ["junk"], "unknown": 1}, {"PS256"}),
        ("p256", {}, {"ES256"}),
        ("p384", {"alg": "ES384"}, {"ES384"}),
        ("ed", {"use": "sig"}, {"EdDSA"}),
    ],
)
def test_a_key_is_bound_to_the_algorithms_of_its_type(
    signer: Any, kid: str, members: dict[str, object], algorithms: set[str]
) -> None:
    keys = KeySet.parse(signer.jwks(signer.jwk(kid, **members))).keys
    assert {kid: key.algorithms for kid, key in keys.items()} == {kid: algorithms}


@pytest.mark.parametrize(
    "members",
    [
        {"kty": "oct", "k": "c2VjcmV0"},
        {"kty": "oct", "k": "c2VjcmV0", "alg": "HS256"},
        {"alg": "HS256"},
        {"alg": "none"},
        {"alg": "ES256"},
        {"alg": ["RS256"]},
        {"use": "enc"},
        {"key_ops": ["encrypt"]},
        {"key_ops": "verify"},
        {"kid": None},
        {"kid": ""},
        {"kid": 1},
        {"n": None},
        {"n": 5},
        {"n": "!"},
        {"n": "AQ"},
        {"e": ""},
        {"kty": "EC"},
        {"kty": "EC", "crv": "secp256k1"},
        {"kty": None},
    ],
)
def test_a_useless_key_is_left_out_and_a_set_of_none_is_refused(
    signer: Any, members: dict[str, object]
) -> None:
    useless = signer.jwk("rsa", **members)
    assert set(KeySet.parse(signer.jwks(useless, signer.jwk("ed"))).keys) == {"ed"}
    with pytest.raises(MalformedMessage):
        KeySet.parse(signer.jwks(useless))


def test_a_short_rsa_key_is_left_out(signer: Any) -> None:
    with pytest.raises(MalformedMessage):
        KeySet.parse(signer.jwks(signer.jwk("short-rsa")))


def test_a_published_private_key_is_used_as_a_public_one(signer: Any) -> None:
    key = KeySet.parse(signer.jwks(signer.jwk("rsa", d="AQAB", p="AQ", q="AQ"))).keys["rsa"]
    assert not hasattr(key.public, "private_numbers")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b'{"keys": {}}',
        b'{"keys": []}',
        b'{"keys": [1, null]}',
        b"\xff",
        b"[" * 100_000,
    ],
)
def test_anything_else_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedMessage):
        KeySet.parse(body)


def test_two_keys_of_one_name_are_malformed(signer: Any) -> None:
    with pytest.raises(MalformedMessage, match="same kid"):
        KeySet.parse(signer.jwks(signer.jwk("rsa"), signer.jwk("ed", kid="rsa")))


def test_an_equal_key_stays_the_same_object(signer: Any) -> None:
    first = KeySet.parse(signer.jwks(signer.jwk("rsa"), signer.jwk("ed"), signer.jwk("p256"))).after(EMPTY)
    replaced = signer.jwk("other-rsa", kid="ed")
    second = KeySet.parse(signer.jwks(replaced, signer.jwk("rsa"))).after(first)
    assert set(second.keys) == {"rsa", "ed"}
    assert second.keys["rsa"] is first.keys["rsa"]
    assert second.keys["ed"] != first.keys["ed"]


VALUES = st.none() | st.integers() | st.text(max_size=9) | st.lists(st.text(max_size=3), max_size=2)
NAMES = st.sampled_from(["kty", "crv", "x", "y", "n", "e", "d", "alg", "use", "kid", "key_ops"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["rsa", "p256", "ed"]), st.dictionaries(NAMES, VALUES, max_size=3))
def test_a_key_of_any_shape_never_fails_otherwise(signer: Any, kid: str, members: dict[str, Any]) -> None:
    body = json.dumps({"keys": [signer.jwk(kid, **members)]}).encode()
    try:
        (key,) = KeySet.parse(body).keys.values()
    except MalformedMessage:
        return
    assert key.algorithms
