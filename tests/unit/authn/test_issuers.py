"""Several issuers: nothing of one ever counts for another, whatever a token says of itself."""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import replace
from datetime import datetime, timedelta
from math import inf
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from authz_sidecar.authn import issuers
from authz_sidecar.authn.key_set import Key, KeyName, KeySet
from authz_sidecar.config.issuer import Issuer
from authz_sidecar.core.errors import Refused
from authz_sidecar.core.ports import Authenticator
from authz_sidecar.core.verdicts import Code, Identity, Verdict

NOW = 1_800_000_000.0

OURS = Issuer(
    issuer="https://users.example",
    audiences=("student-service",),
    algorithms=frozenset({"RS256"}),
    type="at+jwt",
    leeway=5.0,
    revision_claims=True,
    jwks_url="https://users.example/jwks",
    jwks_max_age=3600.0,
)
KEYCLOAK = replace(
    OURS,
    issuer="https://id.example/realms/school",
    audiences=("student-api", "another-api"),
    algorithms=frozenset({"RS256", "ES256"}),
    type="JWT",
    revision_claims=False,
    jwks_url=None,
    subject_claim="preferred_username",
)

OUR_CLAIMS = {
    "iss": OURS.issuer,
    "aud": "student-service",
    "sub": "17",
    "iat": NOW,
    "exp": NOW + 300,
    "authz_gen": 0,
}
# As a Keycloak 26 realm writes an access token, the order of its claims included.
KEYCLOAK_CLAIMS = {
    "exp": NOW + 300,
    "iat": NOW,
    "auth_time": NOW - 60,
    "jti": "onrtac:3a1f0c1e-8a34-4f36-9d0c-5a2c2f0f8a11",
    "iss": KEYCLOAK.issuer,
    "aud": ["student-api", "account"],
    "sub": "6f1c2d3e-7a44-4f0b-9a2d-3f6f2f1f0a5b",
    "typ": "Bearer",
    "azp": "spa",
    "sid": "9a0c7f0e-54c5-47a1-8b5f-8d4a1f5e7f11",
    "acr": "1",
    "allowed-origins": ["https://spa.example"],
    "realm_access": {"roles": ["default-roles-school", "offline_access", "uma_authorization"]},
    "resource_access": {"account": {"roles": ["manage-account", "view-profile"]}},
    "scope": "openid email profile",
    "email_verified": True,
    "name": "Ann Example",
    "preferred_username": "ann",
    "given_name": "Ann",
    "family_name": "Example",
    "email": "ann@school.example",
}


class HeldKeys:
    """The keys of one issuer, as its key set publishes them."""

    def __init__(self, body: bytes) -> None:
        self.keys = dict(KeySet.parse(body).keys)

    def find(self, name: KeyName) -> Key | None:
        return self.keys.get(name)

    async def learn(self, name: KeyName, tried: Key | None = None) -> Verdict | None:
        return Verdict(Code.TOKEN_INVALID, "unknown key")


def keycloak_jwk(signer: Any, kid: str, name: str, algorithm: str) -> dict[str, Any]:
    """With `alg`, `x5c` and both thumbprints, as Keycloak publishes each of its keys."""
    private = signer.private[kid]
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "school")])
    begin = datetime(2026, 1, 1)  # noqa: DTZ001 (a certificate's times are in UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(private.public_key())
        .serial_number(1)
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=3650))
        .sign(private, hashes.SHA256())
        .public_bytes(Encoding.DER)
    )
    more = {"alg": algorithm, "x5c": [b64encode(certificate).decode()], "x5t": "AAAA", "x5t#S256": "AAAA"}
    return dict(signer.jwk(kid, **more)) | {"kid": name}


@pytest.fixture(scope="module")
def keycloak_keys(signer: Any) -> HeldKeys:
    """A realm's usual set: a key to sign with, one to encrypt with, and one of another kind."""
    encrypts = keycloak_jwk(signer, "rsa", "enc-1", "RSA-OAEP") | {"use": "enc"}
    signs = keycloak_jwk(signer, "other-rsa", "same", "RS256")
    curve = keycloak_jwk(signer, "p256", "curve", "ES256")
    return HeldKeys(json.dumps({"keys": [encrypts, signs, curve]}).encode())


@pytest.fixture
def both(signer: Any, keycloak_keys: HeldKeys) -> Authenticator:
    """Each issuer has a key that is called `same`."""
    ours = HeldKeys(signer.jwks(signer.jwk("rsa") | {"kid": "same"}))
    keys = {OURS.issuer: ours, KEYCLOAK.issuer: keycloak_keys}
    return issuers.authenticator([OURS, KEYCLOAK], keys)


def judged(both: Authenticator, token: bytes) -> str:
    """Subject and issuer, or why it is refused."""
    try:
        found = both.authenticate(token, NOW)
    except Refused as refusal:
        return refusal.detail.removeprefix("the access token ")
    return f"{found.subject} of {found.issuer}" if isinstance(found, Identity) else "another key is asked for"


OUR_HEADER = {"typ": "at+jwt", "alg": "RS256", "kid": "same"}
KEYCLOAK_HEADER = {"alg": "RS256", "typ": "JWT", "kid": "same"}


def test_each_issuer_s_tokens_are_good_and_name_their_users(both: Authenticator, signer: Any) -> None:
    assert judged(both, signer.token(OUR_HEADER, OUR_CLAIMS)) == f"17 of {OURS.issuer}"
    token = signer.token(KEYCLOAK_HEADER, KEYCLOAK_CLAIMS, kid="other-rsa")
    assert judged(both, token) == f"ann of {KEYCLOAK.issuer}"
    curve = signer.token({"alg": "ES256", "typ": "JWT", "kid": "curve"}, KEYCLOAK_CLAIMS, kid="p256")
    assert judged(both, curve) == f"ann of {KEYCLOAK.issuer}"
    identity = both.authenticate(token, NOW)
    assert isinstance(identity, Identity)
    assert identity.scopes == {"openid", "email", "profile"}
    assert (identity.token_generation, identity.issued_after) == (None, NOW - 5)


@pytest.mark.parametrize(
    ("header", "claims", "kid", "found"),
    [
        # one issuer's key under the other's name, the `kid` being the same
        (OUR_HEADER, OUR_CLAIMS, "other-rsa", "has a bad signature"),
        (KEYCLOAK_HEADER, KEYCLOAK_CLAIMS, "rsa", "has a bad signature"),
        (KEYCLOAK_HEADER, OUR_CLAIMS, "rsa", "is not of type at+jwt"),
        # no `kid`: only the issuer's own keys are tried
        ({"typ": "at+jwt", "alg": "RS256"}, OUR_CLAIMS, "other-rsa", "another key is asked for"),
        # a key that only the other has
        (OUR_HEADER | {"kid": "curve"}, OUR_CLAIMS, "rsa", "another key is asked for"),
        # an algorithm that only the other accepts
        (OUR_HEADER | {"alg": "ES256", "kid": "curve"}, OUR_CLAIMS, "p256", "is not signed with an accepted"),
        (KEYCLOAK_HEADER | {"alg": "HS256"}, KEYCLOAK_CLAIMS, "other-rsa", "is not signed with an accepted"),
        (KEYCLOAK_HEADER | {"alg": "none"}, KEYCLOAK_CLAIMS, "other-rsa", "is not signed with an accepted"),
        # the key that is there to encrypt
        (KEYCLOAK_HEADER | {"kid": "enc-1"}, KEYCLOAK_CLAIMS, "rsa", "another key is asked for"),
        # the other's audience
        (OUR_HEADER, OUR_CLAIMS | {"aud": "student-api"}, "rsa", "is meant for another audience"),
        (KEYCLOAK_HEADER, KEYCLOAK_CLAIMS | {"aud": "student-service"}, "other-rsa", "is meant for another"),
        (KEYCLOAK_HEADER, KEYCLOAK_CLAIMS | {"aud": ["account"]}, "other-rsa", "is meant for another"),
        # the other's type
        (OUR_HEADER | {"typ": "JWT"}, OUR_CLAIMS, "rsa", "is not of type at+jwt"),
        (KEYCLOAK_HEADER | {"typ": "at+jwt"}, KEYCLOAK_CLAIMS, "other-rsa", "is not of type JWT"),
        # the other's way to name a user
        (OUR_HEADER, OUR_CLAIMS | {"sub": None, "preferred_username": "17"}, "rsa", "needs a sub of"),
        (KEYCLOAK_HEADER, KEYCLOAK_CLAIMS | {"preferred_username": None}, "other-rsa", "needs a prefer"),
        (KEYCLOAK_HEADER, KEYCLOAK_CLAIMS | {"preferred_username": ["ann"]}, "other-rsa", "needs a prefer"),
        (KEYCLOAK_HEADER, KEYCLOAK_CLAIMS | {"preferred_username": 17}, "other-rsa", "needs a prefer"),
        # claims of ours do not make one without a generation of ours
        (OUR_HEADER, OUR_CLAIMS | {"authz_gen": None}, "rsa", "needs authz_gen"),
        # an issuer that is none of these
        (OUR_HEADER, OUR_CLAIMS | {"iss": "https://users.example/"}, "rsa", "has an issuer that is not acc"),
        (OUR_HEADER, OUR_CLAIMS | {"iss": "HTTPS://users.example"}, "rsa", "has an issuer that is not acc"),
        (OUR_HEADER, OUR_CLAIMS | {"iss": [OURS.issuer]}, "rsa", "has an issuer that is not acc"),
        (OUR_HEADER, OUR_CLAIMS | {"iss": None}, "rsa", "has an issuer that is not acc"),
    ],
)  # fmt: skip
def test_nothing_of_one_counts_for_another(
    both: Authenticator, signer: Any, header: Any, claims: Any, kid: str, found: str
) -> None:
    algorithm = "" if header["alg"] in ("RS256", "ES256") else "RS256"
    token = signer.token(header, claims, kid=kid, algorithm=algorithm)
    for _ in range(2):  # what is remembered is judged alike
        assert judged(both, token).startswith(found)


def test_an_issuer_named_twice_is_no_token(both: Authenticator, signer: Any) -> None:
    twice = json.dumps(OUR_CLAIMS)[:-1] + f', "iss": "{KEYCLOAK.issuer}"}}'
    assert judged(both, signer.token(OUR_HEADER, twice)) == "is malformed"


def test_a_key_that_is_taken_away_from_one_is_gone_for_its_remembered_tokens_alone(
    signer: Any, keycloak_keys: HeldKeys
) -> None:
    ours = HeldKeys(signer.jwks(signer.jwk("rsa") | {"kid": "same"}))
    theirs = HeldKeys(signer.jwks(signer.jwk("other-rsa") | {"kid": "same"}))
    both = issuers.authenticator([OURS, KEYCLOAK], {OURS.issuer: ours, KEYCLOAK.issuer: theirs})
    tokens = (
        signer.token(OUR_HEADER, OUR_CLAIMS),
        signer.token(KEYCLOAK_HEADER, KEYCLOAK_CLAIMS, kid="other-rsa"),
    )
    assert [judged(both, token) for token in tokens] == [f"17 of {OURS.issuer}", f"ann of {KEYCLOAK.issuer}"]
    theirs.keys = ours.keys  # as if a set had been taken for the other
    assert [judged(both, token) for token in tokens] == [f"17 of {OURS.issuer}", "has a bad signature"]
    theirs.keys = {}
    assert judged(both, tokens[1]) == "another key is asked for"


@pytest.mark.parametrize(
    ("verified", "found"),
    [
        (True, f"ann@school.example of {KEYCLOAK.issuer}"),
        (False, "needs email_verified: true beside email"),
        ("true", "needs email_verified: true beside email"),
        (1, "needs email_verified: true beside email"),
        (None, "needs email_verified: true beside email"),
    ],
)
def test_an_address_counts_only_where_it_was_verified(
    signer: Any, keycloak_keys: HeldKeys, verified: Any, found: str
) -> None:
    by_mail = replace(KEYCLOAK, subject_claim="email")
    alone = issuers.authenticator([by_mail], {by_mail.issuer: keycloak_keys})
    token = signer.token(KEYCLOAK_HEADER, KEYCLOAK_CLAIMS | {"email_verified": verified}, kid="other-rsa")
    assert judged(alone, token) == found


def test_without_a_time_of_issue_any_end_ends_a_token(both: Authenticator, signer: Any) -> None:
    claims = {name: KEYCLOAK_CLAIMS[name] for name in KEYCLOAK_CLAIMS if name != "iat"}
    identity = both.authenticate(signer.token(KEYCLOAK_HEADER, claims, kid="other-rsa"), NOW)
    assert isinstance(identity, Identity)
    assert identity.issued_after == -inf
