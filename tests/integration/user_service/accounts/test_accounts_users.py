"""Users over the API: their life from creation to deletion."""

import pytest
from rest_framework.test import APIClient

from accounts import services
from accounts.models import User


def test_the_life_of_a_user(as_admin: APIClient) -> None:
    made = as_admin.post(
        "/api/users/", {"username": "dora", "password": "a long enough one", "email": "dora@example.com"}
    )
    assert made.status_code == 201
    path = f"/api/users/{made.json()['id']}/"
    user = User.objects.get(username="dora")
    assert user.check_password("a long enough one")

    assert as_admin.patch(path, {"first_name": "Dora"}).json()["first_name"] == "Dora"
    assert as_admin.put(path, {"username": "dora2", "password": "another long one"}).status_code == 200
    user.refresh_from_db()
    assert user.check_password("another long one")
    assert (user.username, user.first_name, user.token_generation) == ("dora2", "Dora", 1)

    assert as_admin.post(f"{path}deactivate/").json()["is_active"] is False
    assert as_admin.post(f"{path}activate/").json()["is_active"] is True
    assert as_admin.delete(path).status_code == 204
    assert as_admin.get(path).status_code == 404


def test_passwords_never_come_back(as_admin: APIClient) -> None:
    body = {"username": "dora", "password": "a long enough one"}
    answers = [as_admin.post("/api/users/", body), as_admin.get("/api/users/")]
    for answer in answers:
        assert "a long enough one" not in answer.content.decode()
        assert "password" not in answer.content.decode()


def test_is_active_changes_only_by_its_own_calls(as_admin: APIClient, alice: User) -> None:
    assert as_admin.patch(f"/api/users/{alice.pk}/", {"is_active": False}).json()["is_active"] is True


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"password": "a long enough one"}, "username"),
        ({"username": "dora"}, "password"),
        ({"username": "dora", "password": "short"}, "password"),
        ({"username": "dora", "password": "password"}, "password"),
        ({"username": "dora", "password": "12345678901"}, "password"),
        ({"username": "doradora", "password": "doradora1"}, "password"),
        ({"username": "dora", "password": "x" * 257}, "password"),
        ({"username": "dora", "password": ["a long enough one"]}, "password"),
        ({"username": "dora", "password": "a long enough one\x00"}, "password"),
        ({"username": "dora", "password": "a long enough one", "email": "no"}, "email"),
        ({"username": "dora", "password": "a long enough one", "is_superuser": "maybe"}, "is_superuser"),
        ({"username": "alice", "password": "a long enough one"}, "username"),
        ({"username": "\uff41lice", "password": "a long enough one"}, "username"),
        ({"username": "do ra", "password": "a long enough one"}, "username"),
        ({"username": "x" * 151, "password": "a long enough one"}, "username"),
    ],
)
def test_bad_fields_are_named(as_admin: APIClient, alice: User, body: dict, field: str) -> None:
    answer = as_admin.post("/api/users/", body)
    assert answer.status_code == 400
    assert list(answer.json()) == [field]
    assert User.objects.count() == 2


def test_pages_filters_search_and_order(as_admin: APIClient, make_user) -> None:
    for name in ("bob", "carol", "dave"):
        make_user(name, email=f"{name}@example.com", is_active=name != "dave")

    def names(query: str) -> list[str]:
        return [user["username"] for user in as_admin.get(f"/api/users/?{query}").json()["results"]]

    assert names("page_size=2") == ["admin", "bob"]
    assert names("page_size=2&page=2") == ["carol", "dave"]
    assert names("is_active=false") == ["dave"]
    assert names("search=carol@") == ["carol"]
    assert names("username=bob") == ["bob"]
    assert names("ordering=-username") == ["dave", "carol", "bob", "admin"]


def test_a_list_costs_the_same_however_long(
    as_admin: APIClient, make_user, django_assert_num_queries
) -> None:
    for name in ("bob", "carol", "dave"):
        make_user(name)
    with django_assert_num_queries(5):  # who asks and whether the token has ended, count, page, groups
        as_admin.get("/api/users/")


def test_a_stale_copy_does_not_bring_ended_tokens_back(alice: User) -> None:
    stale = User.objects.get(pk=alice.pk)
    services.sign_out_everywhere(user=alice)
    stale.first_name = "Alice"
    stale.save()
    stale.refresh_from_db()
    assert (stale.first_name, stale.token_generation) == ("Alice", 1)


def test_an_update_keeps_a_concurrent_change_of_another_field(alice: User) -> None:
    stale = User.objects.get(pk=alice.pk)
    services.user_deactivate(user=alice)
    services.user_update(user=stale, first_name="Alice")
    alice.refresh_from_db()
    assert (alice.first_name, alice.is_active) == ("Alice", False)


def test_a_better_password_hash_ends_nothing(alice: User, password: str, settings) -> None:
    settings.PASSWORD_HASHERS = [
        "django.contrib.auth.hashers.PBKDF2SHA1PasswordHasher",
        "django.contrib.auth.hashers.MD5PasswordHasher",
    ]
    assert alice.check_password(password)
    alice.refresh_from_db()
    assert alice.password.startswith("pbkdf2_sha1$")
    assert alice.token_generation == 0


def test_two_that_take_the_same_name_at_once(as_admin: APIClient, alice: User, monkeypatch) -> None:
    """The name is free when it is looked up and taken when it is written."""
    from rest_framework.validators import UniqueValidator

    monkeypatch.setattr(UniqueValidator, "__call__", lambda *args: None)
    answer = as_admin.post("/api/users/", {"username": "alice", "password": "a long enough one"})
    assert answer.status_code == 409
    assert "same time" in answer.json()["detail"]


def test_filters_are_for_lists(as_admin: APIClient, alice: User) -> None:
    other = {"username": "nobody"}
    assert as_admin.get("/api/users/", other).json()["count"] == 0
    assert as_admin.get(f"/api/users/{alice.pk}/", other).status_code == 200
