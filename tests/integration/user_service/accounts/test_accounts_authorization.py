"""Who may call what: one table."""

import pytest
from django.contrib.auth.models import Group, Permission
from rest_framework.test import APIClient

from accounts import services
from accounts.models import User

CALLERS = ("nobody", "alice", "staff", "admin")
EVERY_PERMISSION = "holds every permission that exists, yet is no administrator"
NAME = {"username": "newcomer", "password": "a long enough one"}

# Statuses in the order of CALLERS. {alice} and {bob} are users, {group} is a group with bob in it.
TABLE = [
    ("GET", "/api/", None, (401, 403, 403, 200)),
    ("GET", "/api/users/", None, (401, 200, 200, 200)),
    ("POST", "/api/users/", NAME, (401, 403, 403, 201)),
    ("GET", "/api/users/{alice}/", None, (401, 200, 404, 200)),
    ("GET", "/api/users/{bob}/", None, (401, 404, 404, 200)),
    ("PUT", "/api/users/{alice}/", NAME, (401, 403, 403, 200)),
    ("PATCH", "/api/users/{alice}/", {"is_superuser": True}, (401, 403, 403, 200)),
    ("PATCH", "/api/users/{bob}/", {"password": "a long enough one"}, (401, 403, 403, 200)),
    ("DELETE", "/api/users/{alice}/", None, (401, 403, 403, 204)),
    ("POST", "/api/users/{alice}/deactivate/", None, (401, 403, 403, 200)),
    ("POST", "/api/users/{bob}/activate/", None, (401, 403, 403, 200)),
    ("POST", "/api/users/{alice}/sign-out-everywhere/", None, (401, 204, 404, 204)),
    ("POST", "/api/users/{bob}/sign-out-everywhere/", None, (401, 404, 404, 204)),
    ("GET", "/api/users/{alice}/permissions/", None, (401, 200, 404, 200)),
    ("GET", "/api/users/{bob}/permissions/", None, (401, 404, 404, 200)),
    ("PUT", "/api/users/{alice}/permissions/", {"permissions": []}, (401, 403, 403, 200)),
    ("PUT", "/api/users/{alice}/permissions/students.add_student/", None, (401, 403, 403, 200)),
    ("DELETE", "/api/users/{bob}/permissions/students.add_student/", None, (401, 403, 403, 204)),
    ("GET", "/api/users/{alice}/groups/", None, (401, 200, 404, 200)),
    ("PUT", "/api/users/{alice}/groups/", {"groups": []}, (401, 403, 403, 200)),
    ("PUT", "/api/users/{alice}/groups/{group}/", None, (401, 403, 403, 200)),
    ("DELETE", "/api/users/{bob}/groups/{group}/", None, (401, 403, 403, 204)),
    ("GET", "/api/groups/", None, (401, 200, 200, 200)),
    ("POST", "/api/groups/", {"name": "new"}, (401, 403, 403, 201)),
    ("GET", "/api/groups/{group}/", None, (401, 404, 404, 200)),
    ("PATCH", "/api/groups/{group}/", {"name": "new"}, (401, 403, 403, 200)),
    ("DELETE", "/api/groups/{group}/", None, (401, 403, 403, 204)),
    ("GET", "/api/groups/{group}/permissions/", None, (401, 404, 404, 200)),
    ("PUT", "/api/groups/{group}/permissions/", {"permissions": []}, (401, 403, 403, 200)),
    ("PUT", "/api/groups/{group}/permissions/students.add_student/", None, (401, 403, 403, 200)),
    ("DELETE", "/api/groups/{group}/permissions/students.add_student/", None, (401, 403, 403, 204)),
    ("GET", "/api/permissions/", None, (401, 200, 200, 200)),
    ("POST", "/api/permissions/", {"label": "reports.export"}, (401, 403, 403, 201)),
    ("GET", "/api/schema/", None, (200, 200, 200, 200)),
    ("GET", "/api/docs/", None, (200, 200, 200, 200)),
]
CASES = [
    pytest.param(method, path, body, caller, status, id=f"{caller} {method} {path}")
    for method, path, body, statuses in TABLE
    for caller, status in zip(CALLERS, statuses, strict=True)
]


@pytest.fixture
def world(make_user, admin: User, alice: User) -> dict[str, object]:
    staff = make_user("staff", is_staff=True)
    staff.user_permissions.set(Permission.objects.all())
    bob = make_user("bob")
    group = Group.objects.create(name="registrars")
    services.group_join(user=bob, group=group)
    return {"admin": admin, "alice": alice, "staff": staff, "bob": bob, "group": group}


def stored() -> list[object]:
    fields = ("username", "password", "is_active", "is_superuser", "is_staff", "token_generation")
    holders = (User.user_permissions.through, User.groups.through, Group.permissions.through)
    return [
        list(User.objects.order_by("pk").values_list(*fields)),
        list(Group.objects.order_by("pk").values_list("name")),
        list(Permission.objects.order_by("pk").values_list("codename")),
        *(list(through.objects.order_by("pk").values_list()) for through in holders),
    ]


@pytest.mark.parametrize(("method", "path", "body", "caller", "status"), CASES)
def test_who_may_call_what(
    world: dict, signed_in, method: str, path: str, body: object, caller: str, status: int
) -> None:
    client = APIClient() if caller == "nobody" else signed_in(world[caller])
    before = stored()
    path = path.format(**{name: thing.pk for name, thing in world.items()})
    answer = client.generic(method, path, *_encoded(body))
    assert answer.status_code == status
    if status >= 400:
        assert stored() == before
    if status == 401:
        assert answer["WWW-Authenticate"] == 'Bearer realm="user-service"'


def _encoded(body: object) -> tuple[str, str]:
    import json

    return ("" if body is None else json.dumps(body)), "application/json"


@pytest.mark.parametrize("path", ["/api/users/", "/api/users/?search=o", "/api/users/?is_superuser=true"])
def test_a_list_shows_others_only_themselves(world: dict, signed_in, path: str) -> None:
    names = {user["username"] for user in signed_in(world["alice"]).get(path).json()["results"]}
    assert names <= {"alice"}


def test_a_list_of_groups_shows_members_their_own(world: dict, signed_in) -> None:
    assert signed_in(world["bob"]).get("/api/groups/").json()["count"] == 1
    assert signed_in(world["alice"]).get("/api/groups/").json()["count"] == 0


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("post", "deactivate/", {}),
        ("delete", "", {}),
        ("patch", "", {"is_superuser": False}),
    ],
)
def test_an_administrator_cannot_lock_themselves_out(
    admin: User, as_admin: APIClient, method: str, path: str, body: dict
) -> None:
    before = stored()
    answer = getattr(as_admin, method)(f"/api/users/{admin.pk}/{path}", body)
    assert answer.status_code == 400
    assert "another administrator" in answer.content.decode()
    assert stored() == before
