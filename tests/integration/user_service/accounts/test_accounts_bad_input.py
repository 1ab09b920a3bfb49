"""Whatever arrives, the answer is 4xx and names the mend; it is never 500."""

import logging

import pytest
from rest_framework.test import APIClient

from accounts.models import User

BODIES = {
    "empty": b"",
    "not JSON": b"{",
    "not UTF-8": b'{"username": "\xff"}',
    "a list": b"[]",
    "a string": b'"x"',
    "a number": b"1",
    "null": b"null",
    "NaN": b'{"username": NaN}',
    "nested deeply": b"[" * 100_000,
    "nested names": b'{"username": ' + b"[" * 100_000,
    "half a character": b'{"username": "\\ud800", "permissions": ["\\ud800"]}',
    "huge number": b'{"username": ' + b"9" * 5000 + b"}",
}
WRITES = [
    ("POST", "/api/token/"),
    ("POST", "/api/token/refresh/"),
    ("POST", "/api/token/revoke/"),
    ("POST", "/api/users/"),
    ("POST", "/api/groups/"),
    ("PUT", "/api/users/{alice}/permissions/"),
    ("PUT", "/api/users/{alice}/groups/"),
]


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
@pytest.mark.parametrize(("method", "path"), WRITES)
def test_a_malformed_body_is_400(
    as_admin: APIClient, alice: User, method: str, path: str, body: bytes
) -> None:
    answer = as_admin.generic(method, path.format(alice=alice.pk), body, "application/json")
    assert answer.status_code == 400
    assert answer.json()


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/users/99999999999999999999999999/", 404),
        ("/api/users/x/", 404),
        ("/api/users/%00/", 404),
        ("/api/users/1/groups/99999999999999999999999999/", 405),
        ("/api/users/?username=%00", 400),
        ("/api/users/?search=%00", 400),
        ("/api/users/?groups__name=%00", 400),
        ("/api/users/?is_active=maybe", 200),
        ("/api/users/?page=x", 404),
        ("/api/users/?page=99999999999999999999999999", 404),
        ("/api/users/?page_size=99999999999999999999999999", 200),
        ("/api/users/?ordering=password", 200),
        ("/api/permissions/?codename=%00", 400),
    ],
)
def test_odd_addresses(as_admin: APIClient, path: str, status: int) -> None:
    assert as_admin.get(path).status_code == status


@pytest.mark.parametrize("label", ["%00", "a%00b", "%ED%A0%80", "x" * 5000])
def test_odd_labels(as_admin: APIClient, alice: User, label: str) -> None:
    for call in (as_admin.put, as_admin.delete):
        assert call(f"/api/users/{alice.pk}/permissions/{label}/").status_code in {400, 404}


def test_an_unknown_group_in_the_address_is_404(as_admin: APIClient, alice: User) -> None:
    for group in (999, 10**40):
        assert as_admin.put(f"/api/users/{alice.pk}/groups/{group}/").status_code == 404


def test_secrets_never_reach_a_log(
    as_admin: APIClient, alice: User, caplog: pytest.LogCaptureFixture, password: str
) -> None:
    caplog.set_level(logging.DEBUG)
    anybody = APIClient()
    pair = anybody.post("/api/token/", {"username": "alice", "password": password}).json()
    secrets = [password, "wrong-but-secret", "new long password", pair["access"], pair["refresh"]]
    anybody.post("/api/token/", {"username": "alice", "password": "wrong-but-secret"})
    anybody.post("/api/token/refresh/", {"refresh": pair["refresh"]})
    anybody.post("/api/token/refresh/", {"refresh": pair["refresh"]})
    APIClient(headers={"authorization": f"Bearer {pair['access']}"}).get("/api/users/")
    as_admin.patch(f"/api/users/{alice.pk}/", {"password": "new long password"})
    assert caplog.records
    for secret in secrets:
        assert secret not in caplog.text
