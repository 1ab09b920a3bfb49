"""Permissions and groups of users, and permissions of groups."""

import pytest
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from rest_framework.test import APIClient

from accounts.models import User

ADD, CHANGE, VIEW = "students.add_student", "students.change_student", "students.view_student"


@pytest.fixture
def registrars(db: None) -> Group:
    return Group.objects.create(name="registrars")


def test_direct_permissions_and_those_via_groups(as_admin: APIClient, alice: User, registrars: Group) -> None:
    path = f"/api/users/{alice.pk}/permissions/"
    as_admin.put(f"/api/groups/{registrars.pk}/permissions/", {"permissions": [ADD, VIEW]})
    as_admin.put(f"/api/users/{alice.pk}/groups/", {"groups": [registrars.pk]})
    as_admin.put(path, {"permissions": [VIEW, CHANGE]})
    assert as_admin.get(path).json() == {
        "direct": [CHANGE, VIEW],
        "via_groups": [{"id": registrars.pk, "name": "registrars", "permissions": [ADD, VIEW]}],
        "effective": [ADD, CHANGE, VIEW],
    }


def test_replacing_forgets_what_is_not_named(as_admin: APIClient, alice: User) -> None:
    path = f"/api/users/{alice.pk}/permissions/"
    for labels in ([ADD, CHANGE], [VIEW, VIEW], []):
        assert as_admin.put(path, {"permissions": labels}).json()["direct"] == sorted(set(labels))


@pytest.mark.parametrize("holder", ["users", "groups"])
def test_one_permission_is_granted_and_revoked_idempotently(
    as_admin: APIClient, alice: User, registrars: Group, holder: str
) -> None:
    base = f"/api/{holder}/{(alice if holder == 'users' else registrars).pk}/permissions/"
    shown = "direct" if holder == "users" else "permissions"
    for _ in range(2):
        assert as_admin.put(f"{base}{ADD}/").json()[shown] == [ADD]
    for _ in range(2):
        assert as_admin.delete(f"{base}{ADD}/").status_code == 204
    assert as_admin.get(base).json()[shown] == []


def test_a_label_that_two_permissions_bear_is_revoked_whole(as_admin: APIClient, alice: User) -> None:
    twin = ContentType.objects.create(app_label="students", model="twin")
    Permission.objects.create(content_type=twin, codename="add_student", name="Can add student too")
    base = f"/api/users/{alice.pk}/permissions/"
    assert as_admin.put(base, {"permissions": [ADD]}).json()["direct"] == [ADD]
    assert alice.user_permissions.count() == 2
    as_admin.delete(f"{base}{ADD}/")
    assert not alice.user_permissions.exists()


@pytest.mark.parametrize("label", ["students.fly", "add_student", "students.student.add_student", "ä.ö"])
@pytest.mark.parametrize("holder", ["users", "groups"])
def test_an_unknown_label_is_named_and_nothing_changes(
    as_admin: APIClient, alice: User, registrars: Group, holder: str, label: str
) -> None:
    base = f"/api/{holder}/{(alice if holder == 'users' else registrars).pk}/permissions/"
    as_admin.put(base, {"permissions": [ADD]})
    before = as_admin.get(base).json()
    answers = {
        "permissions": [as_admin.put(base, {"permissions": [VIEW, label]})],
        "permission": [as_admin.put(f"{base}{label}/"), as_admin.delete(f"{base}{label}/")],
    }
    for field, refused in answers.items():
        for answer in refused:
            assert answer.status_code == 400
            assert repr(label) in answer.json()[field][0]
    assert as_admin.get(base).json() == before


def test_an_inactive_user_has_no_effective_permissions(as_admin: APIClient, alice: User) -> None:
    base = f"/api/users/{alice.pk}/"
    as_admin.put(f"{base}permissions/", {"permissions": [ADD]})
    as_admin.post(f"{base}deactivate/")
    shown = as_admin.get(f"{base}permissions/").json()
    assert (shown["direct"], shown["effective"]) == ([ADD], [])


def test_groups_are_joined_and_left(as_admin: APIClient, alice: User, registrars: Group) -> None:
    base = f"/api/users/{alice.pk}/groups/"
    member = {"groups": [{"id": registrars.pk, "name": "registrars"}]}
    for _ in range(2):
        assert as_admin.put(f"{base}{registrars.pk}/").json() == member
    assert as_admin.delete(f"{base}{registrars.pk}/").status_code == 204
    assert as_admin.get(base).json() == {"groups": []}
    assert as_admin.put(base, {"groups": [registrars.pk]}).json() == member


@pytest.mark.parametrize("group", [0, 999, -1, 10**40, "x", None, True, [1], {"id": 1}])
def test_an_unknown_group_is_refused(as_admin: APIClient, alice: User, group: object) -> None:
    answer = as_admin.put(f"/api/users/{alice.pk}/groups/", {"groups": [group]})
    assert answer.status_code == 400
    assert list(answer.json()) == ["groups"]


def test_permissions_are_listed_by_label(as_admin: APIClient) -> None:
    results = as_admin.get("/api/permissions/?search=students").json()["results"]
    assert {"label": "students.change_student", "name": "Can change student"} in results
    assert [row["label"] for row in results] == sorted(row["label"] for row in results)
    assert len(results) == 4


def test_internal_tables_are_not_listed_but_can_be_given_by_label(as_admin: APIClient, alice: User) -> None:
    labels = [row["label"] for row in as_admin.get("/api/permissions/?limit=500").json()["results"]]
    assert {"students.add_student", "accounts.change_user", "auth.add_group"} <= set(labels)
    assert {label.partition(".")[0] for label in labels} == {"students", "accounts", "auth"}
    assert "auth.change_permission" not in labels
    assert as_admin.put(f"/api/users/{alice.pk}/permissions/sessions.view_session/").status_code == 200


@pytest.mark.parametrize(("given", "name"), [({}, "Can export report"), ({"name": "Export"}, "Export")])
def test_a_permission_of_another_service_is_declared_and_given(
    as_admin: APIClient, alice: User, given: dict, name: str
) -> None:
    answer = as_admin.post("/api/permissions/", {"label": "reports.export_report", **given})
    assert (answer.status_code, answer.json()) == (201, {"label": "reports.export_report", "name": name})
    assert as_admin.put(f"/api/users/{alice.pk}/permissions/reports.export_report/").status_code == 200
    assert alice.has_perm("reports.export_report")


@pytest.mark.parametrize(
    ("label", "says"),
    [
        ("export", "'export' has no dot: write app_label.codename, like students.export"),
        ("a.b.c", "with one dot between them"),
        ("students.add_student", "exists already"),
        ("accounts.fly", "is an app of this project"),
        ("", "blank"),
        (None, "null"),
        ([1], "string"),
        ("x." + "y" * 150, "at most 100 characters"),
    ],
)
def test_a_label_that_cannot_be_declared_is_told_why(as_admin: APIClient, label: object, says: str) -> None:
    answer = as_admin.post("/api/permissions/", {"label": label})
    assert answer.status_code == 400
    assert list(answer.json()) == ["label"]
    assert says in answer.json()["label"][0]


@pytest.mark.parametrize(
    ("label", "says"),
    [
        ("add_student", "'add_student' has no dot: write app_label.codename, like students.add_student"),
        ("students.fly", "GET /api/permissions/ lists those that exist, POST adds one of another service"),
    ],
)
def test_an_unknown_label_is_told_with_the_mend(
    as_admin: APIClient, alice: User, label: str, says: str
) -> None:
    base = f"/api/users/{alice.pk}/permissions/"
    assert says in as_admin.put(base, {"permissions": [label]}).json()["permissions"][0]
    assert says in as_admin.put(f"{base}{label}/").json()["permission"][0]
