"""Signing in: the pair, its claims, and refusals that tell nothing."""

import time

import jwt
import pytest
from pytest_django import Settings
from rest_framework.test import APIClient

from accounts.models import User
from authz_tokens import keys, throttling
from authz_tokens.models import AttemptCount, SignIn


def obtain(client: APIClient, **body: object):
    return client.post("/api/token/", {"username": "alice", **body})


def test_the_pair_and_its_claims(anybody: APIClient, alice: User, password: str) -> None:
    answer = obtain(anybody, password=password)
    assert answer.status_code == 200
    assert answer["Cache-Control"] == "no-store"
    pair = answer.json()
    assert (pair["token_type"], pair["expires_in"]) == ("Bearer", 300)
    key = keys.signer()
    assert jwt.get_unverified_header(pair["access"]) == {"alg": "RS256", "kid": key.kid, "typ": "at+jwt"}
    claims = jwt.decode(
        pair["access"],
        jwt.PyJWK(anybody.get("/.well-known/jwks.json").json()["keys"][0]),
        audience="student-service",
        issuer="http://localhost:8000",
    )
    assert (claims["sub"], claims["authz_gen"]) == (str(alice.pk), 0)
    assert claims["preferred_username"] == "alice"
    assert claims["exp"] - claims["iat"] == 300
    assert 0 <= time.time() - claims["iat"] < 60
    assert claims["jti"]


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The limit's clock stands still, so that no window ends in the middle of a test."""
    now = [time.time()]
    monkeypatch.setattr(throttling, "now", lambda: now[0])
    return now


def test_every_token_has_its_own_id(anybody: APIClient, alice: User, password: str) -> None:
    tokens = [obtain(anybody, password=password).json()["access"] for _ in range(3)]
    ids = {jwt.decode(token, options={"verify_signature": False})["jti"] for token in tokens}
    assert len(ids) == 3


@pytest.mark.parametrize("audience", ["student-service", "user-service"])
def test_an_audience_may_be_chosen(anybody: APIClient, alice: User, password: str, audience: str) -> None:
    token = obtain(anybody, password=password, audience=audience).json()["access"]
    assert jwt.decode(token, options={"verify_signature": False})["aud"] == audience


@pytest.mark.parametrize("audience", ["payroll", "Student-service", "", None, ["student-service"]])
def test_another_audience_is_refused(
    anybody: APIClient, alice: User, password: str, audience: object
) -> None:
    answer = obtain(anybody, password=password, audience=audience)
    assert answer.status_code == 400
    assert list(answer.json()) == ["audience"]


@pytest.mark.parametrize(
    ("username", "given", "active"),
    [("alice", "wrong", True), ("nobody", None, True), ("alice", None, False), ("ALICE", None, True)],
)
def test_refusals_are_all_alike(
    anybody: APIClient, alice: User, password: str, username: str, given: str | None, active: bool
) -> None:
    User.objects.update(is_active=active)
    answer = obtain(anybody, username=username, password=given or password)
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == 'Bearer realm="user-service"'
    assert answer.json() == {"detail": "No active user has this name and password."}
    assert not SignIn.objects.exists()


def test_an_unknown_name_costs_as_much_as_a_wrong_password(
    anybody: APIClient, alice: User, password: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Time tells nothing, because the password is hashed either way."""
    hashed = []
    original = User.set_password
    monkeypatch.setattr(User, "set_password", lambda self, raw: hashed.append(raw) or original(self, raw))
    obtain(anybody, username="nobody", password=password)
    assert hashed == [password]


def test_the_secret_of_the_refresh_token_is_not_stored(
    anybody: APIClient, alice: User, password: str
) -> None:
    secret = obtain(anybody, password=password).json()["refresh"].partition(".")[2]
    (family,) = SignIn.objects.all()
    assert len(secret) >= 43
    assert secret not in str(vars(family))


def test_without_a_key_the_answer_says_so(anybody: APIClient, alice: User, password: str, keys_dir) -> None:
    (keys_dir / "first.pem").unlink()
    answer = obtain(anybody, password=password)
    assert answer.status_code == 503
    assert "new_signing_key" in answer.json()["detail"]
    assert not SignIn.objects.exists()
    assert anybody.get("/readyz").status_code == 503


@pytest.mark.parametrize(
    ("rate", "statuses"), [("2/min", [401, 401, 429]), ("1/h", [401, 429, 429]), ("", [401, 401, 401])]
)
def test_attempts_are_limited(
    anybody: APIClient, alice: User, settings: Settings, rate: str, statuses: list[int]
) -> None:
    settings.AUTH_LOGIN_RATE = rate
    assert [obtain(anybody, password="wrong").status_code for _ in statuses] == statuses


def test_the_limit_is_per_name_and_address(
    anybody: APIClient, alice: User, password: str, settings: Settings
) -> None:
    settings.AUTH_LOGIN_RATE = "1/min"
    assert obtain(anybody, password="wrong").status_code == 401
    refused = obtain(anybody, username="Alice", password=password)
    assert refused.status_code == 429
    assert int(refused["Retry-After"]) <= 60
    assert obtain(anybody, username="bob", password=password).status_code == 401
    elsewhere = APIClient(REMOTE_ADDR="198.51.100.7")
    assert obtain(elsewhere, password=password).status_code == 200


def test_the_next_window_starts_from_nothing(
    anybody: APIClient, alice: User, settings: Settings, clock: list[float]
) -> None:
    settings.AUTH_LOGIN_RATE = "1/min"
    for wanted in (401, 429):
        assert obtain(anybody, password="wrong").status_code == wanted
    clock[0] += 60
    for wanted in (401, 429):
        assert obtain(anybody, password="wrong").status_code == wanted
    assert {count.attempts for count in AttemptCount.objects.all()} == {1}


def test_a_forwarding_header_does_not_reset_the_limit(
    anybody: APIClient, alice: User, settings: Settings
) -> None:
    settings.AUTH_LOGIN_RATE = "1/min"
    statuses = [
        anybody.post(
            "/api/token/",
            {"username": "alice", "password": "wrong"},
            headers={"x-forwarded-for": f"198.51.100.{i}"},
        ).status_code
        for i in range(2)
    ]
    assert statuses == [401, 429]


@pytest.mark.parametrize("path", ["/admin/login/", "/api/auth/login/"])
def test_the_forms_share_the_limit(
    anybody: APIClient, admin: User, password: str, settings: Settings, path: str
) -> None:
    settings.AUTH_LOGIN_RATE = "1/min"
    obtain(anybody, username="admin", password="wrong")
    answer = anybody.post(path, {"username": "admin", "password": password}, format="multipart")
    assert "Too many attempts" in answer.content.decode()
    assert "sessionid" not in answer.cookies
