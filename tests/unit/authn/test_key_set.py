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
    assert keys.keys() == {(name, algorithm) for name in (kid, None) for algorithm in algorithms}
    assert {key.algorithms for key in keys.values()} == {frozenset(algorithms)}


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
    assert KeySet.parse(signer.jwks(useless, signer.jwk("ed"))).kids == ["ed"]
    with pytest.raises(MalformedMessage):
        KeySet.parse(signer.jwks(useless))


def test_a_short_rsa_key_is_left_out(signer: Any) -> None:
    with pytest.raises(MalformedMessage):
        KeySet.parse(signer.jwks(signer.jwk("short-rsa")))


def test_a_published_private_key_is_used_as_a_public_one(signer: Any) -> None:
    key = KeySet.parse(signer.jwks(signer.jwk("rsa", d="AQAB", p="AQ", q="AQ"))).keys["rsa", "RS256"]
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


@pytest.mark.parametrize(
    "members",
    [{}, {"alg": "RS256"}, {"x5t": "another", "use": None}],
    ids=["exact", "for one algorithm", "with other ornaments"],
)
def test_copies_of_one_key_are_one_key(signer: Any, members: dict[str, object]) -> None:
    copy = {name: value for name, value in signer.jwk("rsa", **members).items() if value is not None}
    keys = KeySet.parse(signer.jwks(signer.jwk("rsa"), copy))
    assert keys.kids == ["rsa"]
    assert {("rsa", "RS256"), ("rsa", "PS512"), (None, "RS256")} <= keys.keys.keys()
    assert not keys.ambiguous


def test_keys_of_one_name_for_other_algorithms_are_different_keys(signer: Any) -> None:
    jwks = signer.jwks(
        signer.jwk("rsa", alg="RS256"), signer.jwk("rsa", alg="PS256"), signer.jwk("ed", kid="rsa")
    )
    keys = KeySet.parse(jwks).keys
    assert keys.keys() == {(kid, alg) for kid in ("rsa", None) for alg in ("RS256", "PS256", "EdDSA")}
    assert keys["rsa", "RS256"].algorithms == {"RS256"}
    assert keys["rsa", "EdDSA"].members != keys["rsa", "PS256"].members


def test_what_cannot_be_told_apart_is_left_out(signer: Any) -> None:
    one, other = signer.jwk("rsa"), signer.jwk("other-rsa", kid="rsa", alg="RS256")
    keys = KeySet.parse(signer.jwks(one, other, signer.jwk("ed")))
    assert keys.ambiguous == {"rsa"}
    assert ("rsa", "RS256") not in keys.keys
    assert ("rsa", "PS256") in keys.keys, "for it there is one"
    assert ("ed", "EdDSA") in keys.keys
    with pytest.raises(MalformedMessage, match="same kid"):
        KeySet.parse(signer.jwks(signer.jwk("rsa"), signer.jwk("other-rsa", kid="rsa")))


def test_only_one_fitting_key_needs_no_name(signer: Any) -> None:
    keys = KeySet.parse(
        signer.jwks(signer.jwk("rsa"), signer.jwk("other-rsa", alg="RS256"), signer.jwk("ed"))
    )
    assert (None, "RS256") not in keys.keys
    assert keys.keys[None, "PS256"].kid == "rsa"
    assert keys.keys[None, "EdDSA"].kid == "ed"
    assert not keys.ambiguous, "each has a name of its own"


def test_an_equal_key_stays_the_same_object(signer: Any) -> None:
    first = KeySet.parse(signer.jwks(signer.jwk("rsa"), signer.jwk("ed"), signer.jwk("p256"))).after(EMPTY)
    replaced = signer.jwk("other-rsa", kid="ed")
    second = KeySet.parse(signer.jwks(replaced, signer.jwk("rsa"))).after(first)
    assert second.kids == ["ed", "rsa"]
    assert second.keys["rsa", "RS256"] is first.keys["rsa", "RS256"]
    assert second.keys["ed", "RS256"] != first.keys["ed", "EdDSA"]


VALUES = st.none() | st.integers() | st.text(max_size=9) | st.lists(st.text(max_size=3), max_size=2)
NAMES = st.sampled_from(["kty", "crv", "x", "y", "n", "e", "d", "alg", "use", "kid", "key_ops"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["rsa", "p256", "ed"]), st.dictionaries(NAMES, VALUES, max_size=3))
def test_a_key_of_any_shape_never_fails_otherwise(signer: Any, kid: str, members: dict[str, Any]) -> None:
    body = json.dumps({"keys": [signer.jwk(kid, **members)]}).encode()
    try:
        keys = KeySet.parse(body).keys.values()
    except MalformedMessage:
        return
    assert all(key.algorithms for key in keys)
