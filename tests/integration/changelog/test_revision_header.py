"""The answer to a write names a revision that contains it: over the API, in Django admin, or not at all."""

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client

from accounts.models import User
from authz_changelog.models import Head

HEADER = "Authz-Revision"


@pytest.fixture
def admin(database: str) -> Client:
    client = Client()
    client.force_login(User.objects.create(username="root", is_staff=True, is_superuser=True))
    return client


def test_django_admin_names_the_revision_of_a_change(admin: Client) -> None:
    permission = Permission.objects.get(codename="change_student")
    response = admin.post("/admin/auth/group/add/", {"name": "staff", "permissions": [permission.pk]})
    assert response.status_code == 302
    assert response.headers[HEADER] == Head.objects.get().token


def test_a_write_that_changes_no_permission_is_contained_too(admin: Client) -> None:
    form = {"name": "staff"}
    admin.post("/admin/auth/group/add/", form)
    head = Head.objects.get()
    response = admin.post(f"/admin/auth/group/{1}/change/", {"name": "renamed"})
    assert response.headers[HEADER] == head.token


@pytest.mark.parametrize(("method", "path"), [("get", "/admin/"), ("get", "/admin/auth/group/add/")])
def test_reading_names_none(admin: Client, method: str, path: str) -> None:
    assert HEADER not in getattr(admin, method)(path).headers


def test_a_refused_change_names_none(database: str) -> None:
    response = Client().post("/api/users/", {})
    assert response.status_code >= 400
    assert HEADER not in response.headers


def test_a_success_stays_a_success_when_the_log_cannot_be_read(admin: Client) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE authz_changelog_head RENAME TO lost")
    response = admin.post("/admin/auth/group/add/", {"name": "staff"})
    assert response.status_code == 302
    assert HEADER not in response.headers
