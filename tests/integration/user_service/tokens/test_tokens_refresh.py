"""Refresh tokens rotate, end with the user's rights, and give a thief away."""

from datetime import timedelta

import jwt
import pytest
from django.core.management import call_command
from django.utils import timezone
from pytest_django import Settings
from rest_framework.test import APIClient

from accounts import services as accounts
from accounts.models import User
from authz_tokens import services
from authz_tokens.models import SignIn


@pytest.fixture
def first(alice: User) -> str:
    return services.sign_in(user=alice, audience="student-service").refresh


def refresh(client: APIClient, token: str):
    return client.post("/api/token/refresh/", {"refresh": token})


def test_a_refresh_token_works_once_and_is_replaced(anybody: APIClient, alice: User, first: str) -> None:
    answer = refresh(anybody, first)
    assert answer.status_code == 200
    assert answer["Cache-Control"] == "no-store"
    pair = answer.json()
    assert pair["refresh"] != first
    claims = jwt.decode(pair["access"], options={"verify_signature": False})
    assert (claims["sub"], claims["aud"]) == (str(alice.pk), "student-service")
    assert refresh(anybody, pair["refresh"]).status_code == 200


def test_reuse_of_a_replaced_token_ends_the_family(anybody: APIClient, first: str) -> None:
    second = refresh(anybody, first).json()["refresh"]
    assert refresh(anybody, first).status_code == 401
    assert refresh(anybody, second).status_code == 401


def test_other_sign_ins_live_on(anybody: APIClient, alice: User, first: str) -> None:
    other = services.sign_in(user=alice, audience="user-service").refresh
    refresh(anybody, first)
    refresh(anybody, first)
    assert refresh(anybody, other).status_code == 200


ENDINGS = {
    "signed out everywhere": lambda user: accounts.sign_out_everywhere(user=user),
    "deactivated": lambda user: accounts.user_deactivate(user=user),
    "deactivated behind our back": lambda user: User.objects.filter(pk=user.pk).update(is_active=False),
    "deactivated and activated": lambda user: (
        accounts.user_deactivate(user=user),
        accounts.user_activate(user=user),
    ),
    "new password": lambda user: accounts.user_update(user=user, password="another long one"),
    "new password, behind our back": lambda user: User.objects.filter(pk=user.pk).update(password="!"),
    "another subject": lambda user: User.objects.filter(pk=user.pk).update(email="b@example.org"),
    "signed out by a command": lambda user: call_command("sign_out", user.email, verbosity=0),
    "deleted": lambda user: user.delete(),
    "expired": lambda user: SignIn.objects.update(expires_at=timezone.now() - timedelta(seconds=1)),
    "revoked by an administrator": lambda user: user.sign_ins.all().delete(),
}


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS.keys())
def test_it_dies_with_what_it_stands_for(anybody: APIClient, alice: User, settings: Settings, ending) -> None:
    settings.AUTHZ_CHANGELOG = {"SUBJECT": "email"}
    User.objects.filter(pk=alice.pk).update(email="a@example.org")
    alice.refresh_from_db()
    first = services.sign_in(user=alice, audience="student-service").refresh
    ending(alice)
    answer = refresh(anybody, first)
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == 'Bearer realm="user-service"'
    assert not SignIn.objects.exists()


def test_rotation_does_not_prolong_the_sign_in(anybody: APIClient, first: str) -> None:
    (before,) = SignIn.objects.values_list("expires_at")
    refresh(anybody, first)
    assert list(SignIn.objects.values_list("expires_at")) == [before]


@pytest.mark.parametrize(
    "token", ["x", ".", "not-a-uuid.secret", "00000000000000000000000000000000.secret", "ä.ö", "." * 200]
)
def test_nonsense_is_refused(anybody: APIClient, first: str, token: str) -> None:
    assert refresh(anybody, token).status_code == 401
    assert refresh(anybody, first).status_code == 200


def test_of_two_at_once_one_wins_and_the_family_ends(
    anybody: APIClient, first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second call arrives between the first one's look and its swap."""
    looked = services._is_alive
    answers = []

    def overtaken(family: SignIn) -> bool:
        monkeypatch.setattr(services, "_is_alive", looked)
        answers.append(refresh(anybody, first).status_code)
        return looked(family)

    monkeypatch.setattr(services, "_is_alive", overtaken)
    answers.append(refresh(anybody, first).status_code)
    assert answers == [200, 401]
    assert not SignIn.objects.exists()


def test_revoking_ends_the_family_and_never_complains(anybody: APIClient, first: str) -> None:
    for token in (first, first, "unknown"):
        assert anybody.post("/api/token/revoke/", {"token": token}).status_code == 200
    assert refresh(anybody, first).status_code == 401


def test_signing_in_clears_away_what_has_expired(alice: User, first: str) -> None:
    SignIn.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    services.sign_in(user=alice, audience="student-service")
    assert SignIn.objects.count() == 1
