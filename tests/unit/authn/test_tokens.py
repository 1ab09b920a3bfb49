"""Access tokens: what is accepted, what is refused and why, and how long it is remembered."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from dataclasses import replace
from math import inf
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt as second_library
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey
from jwt.algorithms import HMACAlgorithm

from authz_sidecar.authn import tokens
from authz_sidecar.authn.key_set import Key, KeyName, KeySet
from authz_sidecar.authn.tokens import TokenAuthenticator
from authz_sidecar.config.issuer import Issuer
from authz_sidecar.core.entities import RevisionToken
from authz_sidecar.core.errors import Refused
from authz_sidecar.core.remembered import memory_of
from authz_sidecar.core.verdicts import Code, Identity, Verdict

NOW = 1_800_000_000.0
HEADER = {"typ": "at+jwt", "alg": "RS256", "kid": "rsa"}
CLAIMS: dict[str, Any] = {
    "iss": "http://issuer",
    "aud": "student-service",
    "sub": "17",
    "iat": NOW,
    "exp": NOW + 300,
    "authz_gen": 0,
    "authz_rev": "3f2a9c1b.12",
}


class HeldKeys:
    """Keys that a test takes away and gives back."""

    def __init__(self, body: bytes) -> None:
        self.keys = dict(KeySet.parse(body).keys)
        self.asked: list[KeyName] = []

    def find(self, name: KeyName) -> Key | None:
        return self.keys.get(name)

    async def learn(self, name: KeyName, tried: Key | None = None) -> Verdict | None:
        self.asked.append(name)
        return None


@pytest.fixture
def keys(signer: Any) -> HeldKeys:
    return HeldKeys(signer.jwks(*(signer.jwk(kid) for kid in ("rsa", "p256", "ed"))))


@pytest.fixture
def authenticator(jwt_settings: Issuer, keys: HeldKeys) -> TokenAuthenticator:
    return TokenAuthenticator(jwt_settings, keys)


def refused(authenticator: TokenAuthenticator, token: bytes, now: float = NOW) -> Code:
    with pytest.raises(Refused) as caught:
        authenticator.authenticate(token, now)
    assert not token or token.decode("latin-1") not in caught.value.detail
    return caught.value.code


def without(values: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}


@pytest.mark.parametrize(("kid", "algorithm"), [("rsa", "RS256"), ("p256", "ES256"), ("ed", "EdDSA")])
def test_a_good_token(authenticator: TokenAuthenticator, signer: Any, kid: str, algorithm: str) -> None:
    token = signer.token(HEADER | {"alg": algorithm, "kid": kid}, kid=kid)
    assert authenticator.authenticate(token, NOW) == Identity(
        subject="17",
        key_id=kid,
        expires_at=NOW + 300 + 5,  # the leeway
        not_before=NOW,
        token_generation=0,
        min_revision=RevisionToken("3f2a9c1b", 12),
        claims=urlsafe_b64decode(token.split(b".")[1] + b"=="),
        issuer="http://issuer",
    )


@pytest.mark.parametrize(
    ("header", "claims"),
    [
        ({"typ": "AT+JWT"}, {}),
        ({"typ": "application/at+jwt"}, {}),
        ({"jku": "http://evil", "x5u": "http://evil", "jwk": {"kty": "oct"}, "x5c": ["x"], "cty": "JWT"}, {}),
        ({}, {"aud": ["other", "student-service"]}),
        ({}, {"exp": NOW + 0.5, "nbf": NOW}),
        ({}, {"sub": "ß:é 1\u00a0'; --"}),
        ({}, {"sub": "x" * 255}),
        ({}, {"unknown": {"deep": [1]}}),
    ],
)
def test_accepted_variations(
    authenticator: TokenAuthenticator, signer: Any, header: dict[str, Any], claims: dict[str, Any]
) -> None:
    identity = authenticator.authenticate(signer.token(HEADER | header, CLAIMS | claims), NOW)
    assert isinstance(identity, Identity)
    assert identity.subject == (CLAIMS | claims)["sub"]


@pytest.mark.parametrize(
    "header",
    [
        HEADER | {"typ": "JWT"},
        HEADER | {"typ": None},
        without(HEADER, "typ"),
        HEADER | {"alg": "none"},
        HEADER | {"alg": "None"},
        HEADER | {"alg": "nOnE"},
        HEADER | {"alg": ""},
        HEADER | {"alg": None},
        HEADER | {"alg": ["RS256"]},
        HEADER | {"alg": "rs256"},
        HEADER | {"alg": "HS256"},
        HEADER | {"alg": "RS512"},
        without(HEADER, "alg"),
        HEADER | {"crit": []},
        HEADER | {"crit": ["exp"]},
        HEADER | {"crit": ["b64"], "b64": False},
        HEADER | {"kid": None},
        HEADER | {"kid": 1},
        HEADER | {"kid": ["rsa"]},
        [],
        "[" * 5000,
        '{"typ":"at+jwt","alg":"none","alg":"RS256","kid":"rsa"}',
        '{"typ":"at+jwt","alg":"RS256","kid":"rsa","x":NaN}',
        '\ufeff{"typ":"at+jwt","alg":"RS256","kid":"rsa"}',
        json.dumps(HEADER).encode("utf-16"),
        b"\xff",
        "",
    ],
)
def test_a_header_that_is_refused(authenticator: TokenAuthenticator, signer: Any, header: object) -> None:
    assert refused(authenticator, signer.token(header)) is Code.TOKEN_INVALID


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": None},
        {"iss": "http://issuer/"},
        {"iss": "http://issue"},
        {"iss": ["http://issuer"]},
        {"aud": None},
        {"aud": ""},
        {"aud": "student"},
        {"aud": "user-service"},
        {"aud": []},
        {"aud": ["other"]},
        {"aud": ["student-service", 1]},
        {"aud": {"student-service": 1}},
        {"sub": None},
        {"sub": ""},
        {"sub": 17},
        {"sub": "a\x00b"},
        {"sub": "email\x1fann@example.org"},
        {"sub": "a\nb"},
        {"sub": "a\x85b"},
        {"sub": "\ud800"},
        {"sub": "x" * 256},
        {"exp": None},
        {"exp": str(NOW + 300)},
        {"exp": True},
        {"exp": -1},
        {"exp": 1e300},
        {"exp": 10**400},
        {"exp": [NOW + 300]},
        {"nbf": "soon"},
        {"nbf": None},
        {"iat": True},
        {"authz_gen": None},
        {"authz_gen": -1},
        {"authz_gen": 1.0},
        {"authz_gen": "0"},
        {"authz_gen": False},
        {"authz_gen": 2**53},
        {"authz_rev": None},
        {"authz_rev": 12},
        {"authz_rev": "12"},
        {"authz_rev": "3f2a9c1b.12 "},
    ],
)
def test_claims_that_are_refused(
    authenticator: TokenAuthenticator, signer: Any, claims: dict[str, object]
) -> None:
    assert refused(authenticator, signer.token(claims=CLAIMS | claims)) is Code.TOKEN_INVALID


@pytest.mark.parametrize("name", sorted(CLAIMS.keys() - {"iat", "authz_rev"}))
def test_claims_that_are_required(authenticator: TokenAuthenticator, signer: Any, name: str) -> None:
    assert refused(authenticator, signer.token(claims=without(CLAIMS, name))) is Code.TOKEN_INVALID


@pytest.mark.parametrize(
    "claims",
    [
        "null",
        "[]",
        "",
        "{",
        b"\xff",
        json.dumps(CLAIMS)[:-1] + ', "sub": "1"}',
        json.dumps(CLAIMS)[:-1] + ', "x": {"a": 1, "a": 2}}',
        json.dumps(CLAIMS | {"exp": float("nan")}),
        json.dumps(CLAIMS | {"exp": float("inf")}),
        json.dumps(CLAIMS)[:-1] + ', "x": ' + "9" * 5000 + "}",
        "[" * 5000,
    ],
)
def test_a_payload_that_is_not_one_plain_object(
    authenticator: TokenAuthenticator, signer: Any, claims: str | bytes
) -> None:
    assert refused(authenticator, signer.token(claims=claims)) is Code.TOKEN_INVALID


@pytest.mark.parametrize(
    "mangle",
    [
        lambda token: b"",
        lambda token: b".",
        lambda token: b"..",
        lambda token: token[:-1],
        lambda token: token + b"=",
        lambda token: token + b".",
        lambda token: b"." + token,
        lambda token: token.replace(b".", b"..", 1),
        lambda token: token.rpartition(b".")[0],
        lambda token: token.rpartition(b".")[0] + b".",
        lambda token: token[:20] + b"!" + token[20:],
        lambda token: token[:20] + b"\n" + token[20:],
        lambda token: b"\xff" + token,
        lambda token: token + "é".encode(),
        lambda token: token.replace(b".", b".A", 1),
        lambda token: token + b"A" * tokens.MAX_TOKEN_BYTES,
    ],
)
def test_a_mangled_token(authenticator: TokenAuthenticator, signer: Any, mangle: Any) -> None:
    assert refused(authenticator, mangle(signer.token())) is Code.TOKEN_INVALID


def test_a_token_of_another_key(authenticator: TokenAuthenticator, signer: Any) -> None:
    assert refused(authenticator, signer.token(kid="other-rsa")) is Code.TOKEN_INVALID


@pytest.mark.parametrize("form", [PublicFormat.SubjectPublicKeyInfo, PublicFormat.PKCS1])
def test_a_public_key_is_no_shared_secret(
    jwt_settings: Issuer, keys: HeldKeys, signer: Any, form: PublicFormat
) -> None:
    """CVE-2022-29217, with settings that the loader would never let pass."""
    careless = replace(jwt_settings, algorithms=frozenset({"RS256", "HS256", "none"}))
    secret = signer.private["rsa"].public_key().public_bytes(Encoding.PEM, form)
    for algorithm in ("HS256", "none"):
        signed = signer.token(HEADER | {"alg": algorithm}).rpartition(b".")[0]
        mac = HMACAlgorithm(HMACAlgorithm.SHA256).sign(signed, secret)
        for signature in (tokens.urlsafe_b64encode(mac).rstrip(b"="), b""):
            found = TokenAuthenticator(careless, keys).authenticate(signed + b"." + signature, NOW)
            assert not isinstance(found, Identity), "no key is for that algorithm"


def test_the_algorithm_is_the_keys_own(jwt_settings: Issuer, signer: Any) -> None:
    both = replace(jwt_settings, algorithms=frozenset({"RS256", "PS256"}))
    bound = TokenAuthenticator(both, HeldKeys(signer.jwks(signer.jwk("rsa", alg="PS256"))))
    assert not isinstance(bound.authenticate(signer.token(), NOW), Identity)
    assert refused(bound, signer.token(HEADER | {"alg": "PS256"})) is Code.TOKEN_INVALID
    token = signer.token(HEADER | {"alg": "PS256"}, algorithm="PS256")
    assert isinstance(bound.authenticate(token, NOW), Identity)


@pytest.mark.parametrize(
    ("claims", "now", "code"),
    [
        ({}, NOW + 304.9, None),
        ({}, NOW + 305, Code.TOKEN_EXPIRED),
        ({}, NOW - 5, None),
        ({}, NOW - 5.1, Code.TOKEN_INVALID),
        ({"nbf": NOW + 100}, NOW + 94, Code.TOKEN_INVALID),
        ({"nbf": NOW + 100}, NOW + 95, None),
        ({"exp": 0}, NOW, Code.TOKEN_EXPIRED),
    ],
)
@pytest.mark.parametrize("known", [False, True])
def test_times_have_a_leeway_and_are_judged_each_time(
    authenticator: TokenAuthenticator,
    signer: Any,
    claims: dict[str, float],
    now: float,
    code: Code | None,
    known: bool,
) -> None:
    token = signer.token(claims=CLAIMS | claims)
    if known and claims != {"exp": 0}:
        assert isinstance(authenticator.authenticate(token, NOW + 100), Identity)
    if code is None:
        assert isinstance(authenticator.authenticate(token, now), Identity)
    else:
        assert refused(authenticator, token, now) is code


def test_any_type_when_none_is_required(jwt_settings: Issuer, keys: HeldKeys, signer: Any) -> None:
    lenient = TokenAuthenticator(replace(jwt_settings, type=""), keys)
    for header in (HEADER | {"typ": "JWT"}, without(HEADER, "typ"), HEADER | {"typ": 5}):
        assert isinstance(lenient.authenticate(signer.token(header), NOW), Identity)


def test_claims_of_ours_can_be_switched_off(jwt_settings: Issuer, keys: HeldKeys, signer: Any) -> None:
    foreign = TokenAuthenticator(replace(jwt_settings, revision_claims=False), keys)
    for claims in (without(CLAIMS, "authz_gen", "authz_rev"), CLAIMS | {"authz_gen": "x", "authz_rev": 1}):
        identity = foreign.authenticate(signer.token(claims=claims), NOW)
        assert isinstance(identity, Identity)
        assert (identity.token_generation, identity.min_revision) == (None, None)


@pytest.mark.parametrize(("iat", "issued_after"), [(NOW - 10, NOW - 15), (None, -inf)])
def test_without_a_generation_it_counts_when_a_token_was_issued(
    jwt_settings: Issuer, keys: HeldKeys, signer: Any, iat: float | None, issued_after: float
) -> None:
    foreign = TokenAuthenticator(replace(jwt_settings, revision_claims=False), keys)
    claims = {name: value for name, value in {**CLAIMS, "iat": iat}.items() if value is not None}
    identity = foreign.authenticate(signer.token(claims=claims), NOW)
    assert isinstance(identity, Identity)
    assert identity.issued_after == issued_after


@pytest.mark.parametrize(
    ("header", "name"),
    [
        (HEADER | {"kid": "../../etc/passwd"}, ("../../etc/passwd", "RS256")),
        (HEADER | {"alg": "ES256"}, ("rsa", "ES256")),
    ],
)
async def test_an_unknown_key_is_asked_for(
    authenticator: TokenAuthenticator, keys: HeldKeys, signer: Any, header: dict[str, Any], name: KeyName
) -> None:
    pending = authenticator.authenticate(signer.token(header), NOW)
    assert not isinstance(pending, Identity)
    assert await pending() is None
    assert keys.asked == [name]


async def test_a_token_that_names_no_key_is_verified_with_the_only_one_that_fits(
    authenticator: TokenAuthenticator, keys: HeldKeys, signer: Any
) -> None:
    token = signer.token(without(HEADER, "kid"))
    identity = authenticator.authenticate(token, NOW)
    assert isinstance(identity, Identity)
    assert identity.key_id == "rsa"
    other = signer.token(without(HEADER, "kid"), kid="other-rsa")
    assert not isinstance(authenticator.authenticate(other, NOW), Identity), "the key may be another by now"
    both = signer.jwks(signer.jwk("rsa"), signer.jwk("other-rsa"))
    keys.keys = dict(KeySet.parse(both).keys)
    assert not isinstance(authenticator.authenticate(token, NOW), Identity), "it is not told apart any more"


def test_keys_of_one_name_are_told_apart_by_the_algorithm(jwt_settings: Issuer, signer: Any) -> None:
    one = signer.jwk("rsa", alg="RS256")
    body = signer.jwks(one, signer.jwk("other-rsa", kid="rsa", alg="PS256"), one)
    settings = replace(jwt_settings, algorithms=frozenset({"RS256", "PS256"}))
    authenticator = TokenAuthenticator(settings, HeldKeys(body))
    for algorithm, right, wrong in (("RS256", "rsa", "other-rsa"), ("PS256", "other-rsa", "rsa")):
        header = HEADER | {"alg": algorithm}
        good = signer.token(header, kid=right, algorithm=algorithm)
        assert isinstance(authenticator.authenticate(good, NOW), Identity)
        bad = signer.token(header, kid=wrong, algorithm=algorithm)
        assert refused(authenticator, bad) is Code.TOKEN_INVALID


def test_a_remembered_token_dies_with_its_key(
    authenticator: TokenAuthenticator, keys: HeldKeys, signer: Any
) -> None:
    token = signer.token()
    assert isinstance(authenticator.authenticate(token, NOW), Identity)
    name = ("rsa", "RS256")
    removed = keys.keys.pop(name)
    assert callable(authenticator.authenticate(token, NOW))
    keys.keys[name] = KeySet.parse(signer.jwks(signer.jwk("other-rsa", kid="rsa"))).keys[name]
    assert refused(authenticator, token) is Code.TOKEN_INVALID
    keys.keys[name] = removed
    assert isinstance(authenticator.authenticate(token, NOW), Identity)


def test_a_known_token_is_not_verified_again_and_memory_is_bounded(
    jwt_settings: Issuer, keys: HeldKeys, signer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = [signer.token(claims=CLAIMS | {"jti": str(number)}) for number in range(5)]
    monkeypatch.setattr(tokens, "REMEMBERED_BYTES", 5 * memory_of(sent[0]))
    authenticator = TokenAuthenticator(jwt_settings, keys)
    first = [authenticator.authenticate(token, NOW) for token in sent]
    again = [authenticator.authenticate(token, NOW) for token in reversed(sent)]
    assert again == first[::-1]
    same = [old is new for old, new in zip(first[::-1], again, strict=True)]
    assert same[0]
    assert not same[-1]


def mutations(token: bytes) -> st.SearchStrategy[bytes]:
    """Tokens a few bytes away from a good one."""
    place = st.integers(0, len(token))
    edit = st.tuples(place, place, st.binary(max_size=4) | st.sampled_from([b".", b"=", b"e30", b"\n"]))

    def apply(edits: list[tuple[int, int, bytes]]) -> bytes:
        changed = token
        for start, end, text in edits:
            changed = changed[:start] + text + changed[max(start, min(end, start + 3)) :]
        return changed

    return st.lists(edit, max_size=3).map(apply)


def test_anything_else_is_refused_and_never_fails(
    authenticator: TokenAuthenticator, keys: HeldKeys, signer: Any
) -> None:
    good = signer.token()

    @given(mutations(good) | st.binary(max_size=60))
    def check(token: bytes) -> None:
        try:
            found = TokenAuthenticator(authenticator._settings, keys).authenticate(token, NOW)
        except Refused:
            assert token != good
        else:
            assert token == good or not isinstance(found, Identity)

    check()


SIGNED = st.sampled_from([("rsa", "RS256"), ("p256", "ES256"), ("ed", "EdDSA"), ("other-rsa", "RS256")])
AUDIENCES = st.sampled_from(["student-service", "other", ["student-service"], ["a", "b"], [], 5, None])
ISSUERS = st.sampled_from(["http://issuer", "http://issuer/", ["http://issuer"], None])
TIMES = st.sampled_from([-400, -6, -5, -4, 0, 4, 5, 6, 400]).map(NOW.__add__) | st.sampled_from(["x", None])


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated:joserfc.errors.SecurityWarning")
def test_a_second_library_judges_alike(jwt_settings: Issuer, keys: HeldKeys, signer: Any) -> None:
    kinds = {"rsa": RSAKey, "other-rsa": RSAKey, "p256": ECKey, "ed": OKPKey}
    public = {kid: kinds[kid].import_key(signer.jwk(kid)) for kid in ("rsa", "p256", "ed")}
    registry = second_library.JWTClaimsRegistry(
        now=int(NOW),
        leeway=5,
        iss={"essential": True, "value": "http://issuer"},
        aud={"essential": True, "value": "student-service"},
        exp={"essential": True},
    )

    def accepts(token: bytes, kid: str) -> bool:
        try:
            decoded = second_library.decode(token, public[kid], algorithms=list(jwt_settings.algorithms))
            registry.validate(decoded.claims)
        except (JoseError, ValueError):
            return False
        return True

    @given(SIGNED, ISSUERS, AUDIENCES, TIMES, TIMES, st.booleans())
    def check(
        signed: tuple[str, str], issuer: object, audience: object, exp: object, nbf: object, tampered: bool
    ) -> None:
        kid, algorithm = signed
        named = {"other-rsa": "rsa"}.get(kid, kid)
        claims = CLAIMS | {"iss": issuer, "aud": audience, "exp": exp, "nbf": nbf}
        token = signer.token(HEADER | {"alg": algorithm, "kid": named}, claims, kid=kid)
        if tampered:
            head, _, signature = token.rpartition(b".")
            token = head + b"." + signature[:9] + (b"B" if signature[9:10] != b"B" else b"C") + signature[10:]
        try:
            ours = isinstance(TokenAuthenticator(jwt_settings, keys).authenticate(token, NOW), Identity)
        except Refused:
            ours = False
        assert ours == accepts(token, named)

    check()
