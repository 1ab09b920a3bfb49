"""Which access tokens this service's own API takes."""

import base64
import json
import time
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from rest_framework.test import APIClient

from accounts import services
from accounts.models import User
from authz_tokens import access, keys


def call(token: str | bytes, scheme: str = "Bearer") -> int:
    token = token.decode("latin-1") if isinstance(token, bytes) else token
    return APIClient(headers={"authorization": f"{scheme} {token}"}).get("/api/users/").status_code


def forged(user: User, *, header: dict | None = None, drop: str | None = None, **claims: object) -> str:
    """A token that our own key signed, wrong in one point."""
    key = keys.signer()
    now = int(time.time())
    body = {
        "iss": "http://localhost:8000",
        "aud": "user-service",
        "sub": str(user.pk),
        "iat": now,
        "exp": now + 60,
        "jti": "1",
        "authz_gen": user.token_generation,
        **claims,
    }
    body.pop(drop, None)
    header = {"typ": "at+jwt", "kid": key.kid, **(header or {})}
    return jwt.api_jws.encode(json.dumps(body).encode(), key.private, "RS256", headers=header)


def test_the_right_token_passes(alice: User) -> None:
    assert call(forged(alice)) == 200
    assert call(access.mint(user=alice, audience="user-service"), scheme="bearer") == 200


WRONG = {
    "other audience": {"aud": "student-service"},
    "several audiences": {"aud": ["user-service", "student-service"]},
    "no audience": {"drop": "aud"},
    "other issuer": {"iss": "https://elsewhere.example"},
    "issuer as a list": {"iss": ["http://localhost:8000"]},
    "expired": {"exp": 1},
    "no expiry": {"drop": "exp"},
    "expiry as text": {"exp": "soon"},
    "from the future": {"iat": 9_999_999_999},
    "no subject": {"drop": "sub"},
    "subject as a number": {"sub": 1},
    "empty subject": {"sub": ""},
    "subject not a number": {"sub": "admin"},
    "subject with NUL": {"sub": "1\0"},
    "subject too large": {"sub": "9" * 40},
    "subject negative": {"sub": "-1"},
    "no generation": {"drop": "authz_gen"},
    "older generation": {"authz_gen": -1},
    "newer generation": {"authz_gen": 1},
    "generation too large": {"authz_gen": 10**40},
    "generation not a number": {"authz_gen": "x"},
    "an ID token": {"header": {"typ": "JWT"}},
    "unknown key": {"header": {"kid": "unknown"}},
    "hostile key name": {"header": {"kid": "../../first.pem"}},
    "unknown critical header": {"header": {"crit": ["x"], "x": 1}},
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
def test_a_token_that_is_wrong_in_one_point_is_refused(alice: User, wrong: dict) -> None:
    assert call(forged(alice, **wrong)) == 401


def _part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "HS256", "RS384", "PS256", "ES256"])
def test_the_token_does_not_choose_the_algorithm(alice: User, algorithm: str) -> None:
    _, body, signature = forged(alice).split(".")
    header = _part({"alg": algorithm, "typ": "at+jwt", "kid": keys.signer().kid})
    for forged_signature in ("", signature):
        assert call(f"{header}.{body}.{forged_signature}") == 401


def test_the_public_key_is_no_shared_secret(alice: User) -> None:
    """Algorithm confusion: HS256 keyed with what everybody may know."""
    import hashlib
    import hmac

    key = keys.signer()
    public = key.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    _, body, _ = forged(alice).split(".")
    signed = f"{_part({'alg': 'HS256', 'typ': 'at+jwt', 'kid': key.kid})}.{body}"
    digest = hmac.new(public, signed.encode(), hashlib.sha256).digest()
    assert call(f"{signed}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}") == 401


@pytest.mark.parametrize(
    "token", ["", "x", "a.b.c", "..", b"\xff\xfe.\xff.\xff", f"{_part({'kid': 1, 'alg': 'RS256'})}.e30.AA"]
)
def test_nonsense_is_refused(db: None, token: str | bytes) -> None:
    assert call(token) == 401


def test_a_deeply_nested_header_is_refused(db: None) -> None:
    nested = base64.urlsafe_b64encode(b'{"alg":' + b"[" * 50_000).rstrip(b"=").decode()
    assert call(f"{nested}.e30.AA") == 401


ENDINGS = {
    "signed out everywhere": lambda user: services.sign_out_everywhere(user=user),
    "deactivated": lambda user: services.user_deactivate(user=user),
    "deactivated behind our back": lambda user: User.objects.filter(pk=user.pk).update(is_active=False),
    "new password": lambda user: services.user_update(user=user, password="another long one"),
    "deleted": lambda user: user.delete(),
}


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS.keys())
def test_a_token_dies_with_the_users_rights(alice: User, ending) -> None:
    token = access.mint(user=alice, audience="user-service")
    assert call(token) == 200
    ending(alice)
    assert call(token) == 401


@pytest.mark.parametrize("ending", ["signed out everywhere", "deactivated", "new password"])
def test_a_session_dies_too(alice: User, ending: str) -> None:
    client = APIClient()
    client.force_login(alice)
    assert client.get("/api/users/").status_code == 200
    ENDINGS[ending](alice)
    assert client.get("/api/users/").status_code == 401


def test_a_session_needs_the_csrf_token_to_write(admin: User) -> None:
    client = APIClient(enforce_csrf_checks=True)
    client.force_login(admin)
    assert client.post("/api/groups/", {"name": "x"}).status_code == 403


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_every_algorithm_works_end_to_end(alice: User, keys_dir: Path, algorithm: str) -> None:
    from django.core.management import call_command

    (keys_dir / "first.pem").unlink()
    call_command("new_signing_key", algorithm=algorithm, verbosity=0)
    token = access.mint(user=alice, audience="user-service")
    assert jwt.get_unverified_header(token)["alg"] == algorithm
    assert call(token) == 200
