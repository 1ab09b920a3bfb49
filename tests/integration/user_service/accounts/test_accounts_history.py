"""Who gave what to whom: told over the API and in the admin, whichever way it was done."""

import re

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from rest_framework.test import APIClient

from accounts.models import User
from authz_changelog.models import Change
from tests.integration.user_service.conftest import SignedIn

LABEL = "students.add_student"


def told(client: APIClient, **asked: object) -> list[str]:
    answer = client.get("/api/changes/", asked)
    assert answer.status_code == 200
    return [re.sub(r" at [-\d]+ [\d:]+ UTC, .*", "", each["text"]) for each in answer.json()["results"]]


def test_it_is_told_by_whom_and_how(as_admin: APIClient, admin: User, alice: User, client: Client) -> None:
    answer = as_admin.put(f"/api/users/{alice.pk}/permissions/{LABEL}/", headers={"X-Request-Id": "r-1"})
    assert answer.headers["X-Request-Id"] == "r-1"
    client.force_login(admin)
    page = f"/admin/accounts/user/{alice.pk}/change/"
    form = {
        "username": "alice",
        "is_active": "on",
        "date_joined_0": "2026-01-01",
        "date_joined_1": "00:00:00",
    }
    assert client.post(page, form).status_code == 302
    expected = [f"- {LABEL} for alice by admin in the admin", f"+ {LABEL} for alice by admin over the API"]
    assert told(as_admin, user=alice.pk)[:2] == expected
    assert told(as_admin, user="alice", actor="admin") == expected
    assert told(as_admin, request="r-1") == expected[1:]
    history = client.get(f"/admin/accounts/user/{alice.pk}/history/").content.decode()
    assert f"+ {LABEL} for alice by admin over the API" in history
    assert expected[0] in client.get("/admin/authz_changelog/change/").content.decode()
    group = Group.objects.create(name="staff")
    assert client.get(f"/admin/auth/group/{group.pk}/history/").status_code == 200


def test_the_first_one_in_full(as_admin: APIClient, admin: User, alice: User) -> None:
    as_admin.put(
        f"/api/users/{alice.pk}/permissions/{LABEL}/", headers={"X-Request-Id": "no id, but kept out"}
    )
    (found, *_) = as_admin.get("/api/changes/").json()["results"]
    assert re.fullmatch(r"[0-9a-f]{32}", found.pop("request"))
    assert re.fullmatch(r"\+ students.add_student for alice by admin over the API at .*", found.pop("text"))
    assert {found.pop("id") for _ in "x"} == {Change.objects.latest("pk").pk}
    assert found.pop("at")
    assert found == {
        **{"added": True, "what": LABEL, "kind": "user", "key": str(alice.pk), "name": "alice", "rows": 1},
        **{"by": "admin over the API", "actor": "admin", "actor_key": str(admin.pk), "way": "api"},
        **{"revision": None, "last_revision": None, "pending": True},
    }


def test_no_token_and_no_password_is_ever_told(
    anybody: APIClient, admin: User, alice: User, password: str
) -> None:
    secrets = {"username": "admin", "password": password, "audience": "user-service"}
    tokens = anybody.post("/api/token/", secrets).json()
    bearer = {"authorization": f"Bearer {tokens['access']}", "x-request-id": tokens["access"]}
    answer = anybody.post("/api/users/", {"username": "eve", "password": "Xq9-long-enough"}, headers=bearer)
    assert answer.status_code == 201
    anybody.post(f"/api/users/{alice.pk}/sign-out-everywhere/", headers=bearer)
    values = " ".join(str(value) for row in Change.objects.values_list() for value in row)
    assert "eve" in values
    assert Change.objects.filter(what="tokens", actor="admin").exists()
    parts = [*tokens["access"].split("."), *tokens["refresh"].split("."), password, "Xq9-long-enough"]
    assert [part for part in parts if part in values] == []


@pytest.mark.parametrize(
    "asked", ["user=nobody", "user=%00", "revision=x", "revision=-1", "users=1", "actor=x"]
)
def test_a_bad_question_is_told_what_is_wrong(as_admin: APIClient, asked: str) -> None:
    answer = as_admin.get(f"/api/changes/?{asked}")
    assert answer.status_code == 400
    assert list(answer.json()) == [asked.split("=")[0]]


def test_only_administrators_read_it(alice: User, signed_in: SignedIn, anybody: APIClient) -> None:
    assert anybody.get("/api/changes/").status_code == 401
    assert signed_in(alice).get("/api/changes/").status_code == 403


def test_the_home_page_tells_administrators_how_the_log_is(client: Client, admin: User, alice: User) -> None:
    assert "Sign in" in client.get("/").content.decode()
    for user, told_of_log in ((alice, False), (admin, True)):
        client.force_login(user)
        page = client.get("/").content.decode()
        assert f"signed in as {user.username}" in page
        assert ("The change log" in page) == told_of_log


def test_a_page_tells_a_users_history(as_admin: APIClient, admin: User, alice: User, client: Client) -> None:
    as_admin.put(f"/api/users/{alice.pk}/permissions/{LABEL}/")
    expected = f"+ {LABEL} for alice by admin over the API"
    assert client.get("/history/").status_code == 302
    client.force_login(admin)
    assert expected in client.get("/history/?user=alice").content.decode()
    assert expected not in client.get("/history/?user=admin").content.decode()
    refused = client.get("/history/?user=%3Cscript%3E")
    assert (refused.status_code, b"<script>" in refused.content) == (400, False)
    client.force_login(alice)
    assert expected in client.get("/history/").content.decode()
    assert client.get("/history/?user=admin").status_code == 403
    assert client.get("/history/?revision=1").status_code == 403


def test_nobody_reads_the_history_of_a_namesake(as_admin: APIClient, alice: User, client: Client) -> None:
    """Somebody may be called what another's primary key is."""
    namesake = User.objects.create_user(str(alice.pk))
    as_admin.put(f"/api/users/{namesake.pk}/permissions/{LABEL}/")
    as_admin.put(f"/api/users/{alice.pk}/permissions/{LABEL}/")
    client.force_login(alice)
    page = client.get("/history/").content.decode()
    assert f"+ {LABEL} for alice by" in page
    assert f"+ {LABEL} for {namesake.username} by" not in page


def test_the_admin_has_no_history_of_what_is_no_key(admin: User, client: Client) -> None:
    client.force_login(admin)
    assert client.get("/admin/accounts/user/abc/history/").status_code == 302
