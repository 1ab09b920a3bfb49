"""Every write says from which revision on it holds, and every token from which one it was issued."""

import jwt
import pytest
from django.contrib.auth.models import Group
from rest_framework.test import APIClient

from accounts.models import User
from authz_changelog.revisions.revision_token import revision_token
from authz_tokens import access

pytestmark = pytest.mark.django_db(transaction=True)

ADD = "students.add_student"
WRITES = [
    ("POST", "/api/users/", {"username": "dora", "password": "a long enough one"}),
    ("POST", "/api/users/{alice}/deactivate/", None),
    ("POST", "/api/users/{alice}/sign-out-everywhere/", None),
    ("PUT", "/api/users/{alice}/permissions/", {"permissions": [ADD]}),
    ("PUT", f"/api/users/{{alice}}/permissions/{ADD}/", None),
    ("PUT", "/api/users/{alice}/groups/", {"groups": ["{group}"]}),
    ("PUT", "/api/users/{alice}/groups/{group}/", None),
    ("POST", "/api/groups/", {"name": "new"}),
    ("PUT", "/api/groups/{group}/permissions/", {"permissions": [ADD]}),
    ("DELETE", "/api/groups/{group}/", None),
    ("DELETE", "/api/users/{alice}/", None),
]


@pytest.mark.parametrize(("method", "path", "body"), WRITES)
def test_a_write_answers_with_the_revision_that_contains_it(
    as_admin: APIClient, alice: User, method: str, path: str, body: dict | None
) -> None:
    group = Group.objects.create(name="registrars")
    before = revision_token()
    if body and "groups" in body:
        body = {"groups": [group.pk]}
    call = getattr(as_admin, method.lower())
    answer = call(path.format(alice=alice.pk, group=group.pk), body)
    assert answer.status_code < 300
    assert answer["Authz-Revision"] == revision_token()
    assert revision_number(answer["Authz-Revision"]) == revision_number(before) + 1


def revision_number(token: str) -> int:
    return int(token.partition(".")[2])


def test_a_token_carries_the_revision_at_its_issue(alice: User) -> None:
    claims = jwt.decode(
        access.mint(user=alice, audience="student-service"), options={"verify_signature": False}
    )
    assert claims["authz_rev"] == revision_token()


def test_a_read_and_a_refusal_carry_none(as_admin: APIClient, alice: User) -> None:
    assert "Authz-Revision" not in as_admin.get("/api/users/")
    assert "Authz-Revision" not in as_admin.post("/api/users/", {"username": "alice"})
