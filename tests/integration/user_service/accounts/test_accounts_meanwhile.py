"""What is asked for vanishes, or the database gives up, while a request is under way: that is never a 500."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import DatabaseError, IntegrityError, OperationalError
from django.test import Client
from rest_framework.test import APIClient

from accounts import services
from accounts.admin import GroupAdmin, UserAdmin
from accounts.models import User
from authz_tokens import services as token_services

LABEL = "students.change_student"


@pytest.fixture
def group(db: None) -> Group:
    return Group.objects.create(name="registrars")


@pytest.fixture
def browser(client: Client, admin: User) -> Client:
    client.force_login(admin)
    client.raise_request_exception = False
    return client


@pytest.fixture
def as_admin(as_admin: APIClient) -> APIClient:
    as_admin.raise_request_exception = False
    return as_admin


@pytest.fixture
def before(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Lets something happen just before a function does its work: after the request has been judged."""

    def arrange(where: object, name: str, happens: Callable[[], object]) -> None:
        original = getattr(where, name)

        def meanwhile(*args: Any, **kwargs: Any) -> Any:
            happens()
            return original(*args, **kwargs)

        monkeypatch.setattr(where, name, meanwhile)

    return arrange


CALLS = [
    ("permissions_grant", "put", "users/{user}/permissions/" + LABEL + "/", None),
    ("permissions_revoke", "delete", "users/{user}/permissions/" + LABEL + "/", None),
    ("permissions_replace", "put", "users/{user}/permissions/", {"permissions": [LABEL]}),
    ("groups_replace", "put", "users/{user}/groups/", {"groups": []}),
    ("group_join", "put", "users/{user}/groups/{group}/", None),
    ("group_leave", "delete", "users/{user}/groups/{group}/", None),
    ("user_update", "patch", "users/{user}/", {"first_name": "A"}),
    ("user_update", "patch", "users/{user}/", {"password": "a long enough one"}),
    ("user_activate", "post", "users/{user}/activate/", None),
    ("user_deactivate", "post", "users/{user}/deactivate/", None),
    ("sign_out_everywhere", "post", "users/{user}/sign-out-everywhere/", None),
]


@pytest.mark.parametrize(("service", "method", "path", "body"), CALLS)
def test_a_user_who_vanishes_is_not_found(
    as_admin: APIClient,
    alice: User,
    group: Group,
    before: Any,
    service: str,
    method: str,
    path: str,
    body: Any,
) -> None:
    before(services, service, User.objects.filter(pk=alice.pk).delete)
    answer = getattr(as_admin, method)(f"/api/{path.format(user=alice.pk, group=group.pk)}", body)
    assert answer.status_code == 404
    assert not User.objects.filter(username="alice").exists()


@pytest.mark.parametrize(
    ("service", "method", "path", "body"),
    [
        ("permissions_grant", "put", "permissions/" + LABEL + "/", None),
        ("permissions_revoke", "delete", "permissions/" + LABEL + "/", None),
        ("permissions_replace", "put", "permissions/", {"permissions": [LABEL]}),
        ("group_update", "put", "", {"name": "clerks"}),
        ("group_update", "patch", "", {"name": "clerks"}),
    ],
)
def test_a_group_that_vanishes_is_not_found_and_does_not_come_back(
    as_admin: APIClient, group: Group, before: Any, service: str, method: str, path: str, body: Any
) -> None:
    before(services, service, Group.objects.filter(pk=group.pk).delete)
    answer = getattr(as_admin, method)(f"/api/groups/{group.pk}/{path}", body)
    assert answer.status_code == 404
    assert not Group.objects.exists()


@pytest.mark.django_db(transaction=True)  # foreign keys are looked at when a transaction is committed
def test_a_group_that_vanishes_while_somebody_joins_it(
    as_admin: APIClient, alice: User, group: Group, before: Any
) -> None:
    before(services, "group_join", Group.objects.filter(pk=group.pk).delete)
    answer = as_admin.put(f"/api/users/{alice.pk}/groups/{group.pk}/")
    assert answer.status_code in {404, 409}
    assert not alice.groups.through.objects.exists()


@pytest.mark.parametrize("model", ["accounts/user", "auth/group"])
def test_what_vanishes_while_the_admin_saves_it_is_not_saved(
    browser: Client, alice: User, group: Group, before: Any, model: str
) -> None:
    target, of = (alice, UserAdmin) if model == "accounts/user" else (group, GroupAdmin)
    before(of, "save_model", type(target).objects.filter(pk=target.pk).delete)
    user = {"username": "alice", "date_joined_0": "2026-01-01", "date_joined_1": "00:00:00"}
    form = user if target is alice else {"name": "clerks"}
    answer = browser.post(f"/admin/{model}/{target.pk}/change/", form, headers={"accept": "text/html"})
    assert answer.status_code == 404
    assert answer["Content-Type"].startswith("text/html")


class Gone(Exception):
    """What a driver raises; Django's exceptions have it as their cause."""


def raises(kind: type[Exception], message: str) -> Callable[[], None]:
    def happens() -> None:
        raise kind(message) from Gone(message)

    return happens


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (raises(OperationalError, "deadlock detected"), 503),
        (raises(OperationalError, "database is locked"), 503),
        (raises(IntegrityError, "FOREIGN KEY constraint failed"), 409),
        (raises(DatabaseError, "database disk image is malformed"), 500),
    ],
)
@pytest.mark.parametrize("page", ["api", "admin"])
def test_what_the_database_says_is_answered(
    as_admin: APIClient, browser: Client, group: Group, before: Any, error: Any, status: int, page: str
) -> None:
    if page == "api":
        before(services, "group_update", error)
        answer = as_admin.put(f"/api/groups/{group.pk}/", {"name": "clerks"})
    else:
        before(GroupAdmin, "save_model", error)
        answer = browser.post(f"/admin/auth/group/{group.pk}/change/", {"name": "clerks"})
    assert answer.status_code == status
    if status == 503:
        assert int(answer["Retry-After"]) >= 1
        assert answer["Content-Type"] == "application/problem+json"
        assert answer.json()["status"] == 503
    assert Group.objects.get().name == "registrars"


@pytest.mark.django_db(transaction=True)
def test_a_user_who_vanishes_while_signing_in(
    anybody: APIClient, alice: User, password: str, before: Any
) -> None:
    anybody.raise_request_exception = False
    before(token_services, "sign_in", User.objects.filter(pk=alice.pk).delete)
    answer = anybody.post("/api/token/", {"username": "alice", "password": password})
    assert answer.status_code in {401, 404, 409}
