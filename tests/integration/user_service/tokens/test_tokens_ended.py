"""What was issued before an end is void in this service, too, also where raw SQL was the end."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from rest_framework.test import APIClient

from accounts.models import User
from authz_tokens import access, services

MakeUser = Callable[..., User]
pytestmark = pytest.mark.django_db


def sql(statement: str, *values: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


def off_and_on(user: User) -> None:
    for active in (False, True):
        sql("UPDATE accounts_user SET is_active = %s WHERE id = %s", active, user.pk)


def made_again(user: User) -> None:
    key = user.pk
    user.delete()
    User(pk=key, username="later", is_superuser=True).save(force_insert=True)


WAYS: list[Callable[[User], Any]] = [off_and_on, made_again]


@pytest.mark.parametrize("end", WAYS)
def test_an_access_token_and_a_sign_in_end(make_user: MakeUser, end: Callable[[User], Any]) -> None:
    user = make_user("alice", is_superuser=True)
    key = user.pk
    pair = services.sign_in(user=user, audience="user-service")
    assert status(pair.access) == 200
    end(user)
    assert status(pair.access) == 401
    with pytest.raises(services.SignInEnded):
        services.refresh(token=pair.refresh)
    later = services.sign_in(user=User.objects.get(pk=key), audience="user-service")
    assert status(later.access) == 200
    assert status(services.refresh(token=later.refresh).access) == 200


def test_a_session_ends(make_user: MakeUser, password: str) -> None:
    user, browser = make_user("alice", is_staff=True), Client()
    assert browser.login(username="alice", password=password)
    assert browser.get("/admin/").status_code == 200
    off_and_on(user)
    assert browser.get("/admin/").status_code == 302


def test_a_sign_in_with_a_password_that_is_changed_meanwhile_ends_with_it(make_user: MakeUser) -> None:
    user = make_user("alice")
    as_read = User.objects.get(pk=user.pk)
    user.set_password("another long one")
    user.save()
    pair = services.sign_in(user=as_read, audience="user-service")
    assert status(services.sign_in(user=user, audience="user-service").access) in (200, 403)
    assert status(pair.access) == 401
    with pytest.raises(services.SignInEnded):
        services.refresh(token=pair.refresh)
    assert status(access.mint(user=as_read, audience="user-service")) == 401


def status(token: str) -> int:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    return client.get("/api/permissions/").status_code
