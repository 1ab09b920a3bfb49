"""A body is refused before it is read when it is longer than its sender may send."""

import io
from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.uploadhandler import TemporaryFileUploadHandler
from django.test import Client
from pytest_django import Settings
from rest_framework.test import APIClient

from accounts.models import User
from config.bodies import bounded

ANONYMOUS = 64 * 1024
MULTIPART = "multipart/form-data; boundary=b"
PATHS = [
    "/api/token/",
    "/api/token/refresh/",
    "/api/users/",
    "/admin/login/",
    "/authz/v1/check",
    "/livez",
    "/nowhere/",
]


class Untouched(io.BytesIO):
    """A body that nobody may read from."""

    def read(self, *_: object) -> bytes:
        pytest.fail("the body was read")

    readline = readinto = read


def send(client: Client, path: str, length: int, content_type: str = MULTIPART, **extra: Any) -> Any:
    """The head of a request, which announces a body."""
    given = {"CONTENT_LENGTH": str(length), "CONTENT_TYPE": content_type, "wsgi.input": Untouched()}
    return client.generic("POST", path, **given, **extra)


@pytest.mark.parametrize("content_type", [MULTIPART, "application/json", "application/x-www-form-urlencoded"])
@pytest.mark.parametrize("path", PATHS)
def test_the_bodies_of_strangers_are_small(anybody: APIClient, path: str, content_type: str) -> None:
    anybody.get("/admin/login/")  # with a CSRF cookie Django would read the form to compare it
    answer = send(anybody, path, ANONYMOUS + 1, content_type)
    assert answer.status_code == 413
    assert answer["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("authorization", ["Bearer", "Bearer nonsense", "Basic eDp5", "Bearer a.b.c"])
def test_a_credential_that_is_none_makes_nobody_known(anybody: APIClient, authorization: str) -> None:
    assert send(anybody, "/api/users/", ANONYMOUS + 1, HTTP_AUTHORIZATION=authorization).status_code == 413


@pytest.mark.parametrize("session", [True, False])
def test_who_is_signed_in_may_send_more_and_not_everything(
    client: Client, admin: User, signed_in: Callable[[User], APIClient], settings: Settings, session: bool
) -> None:
    sender = client if session else signed_in(admin)
    if session:
        client.force_login(admin)
    assert send(sender, "/api/users/", settings.BODY_BYTES + 1).status_code == 413
    labels = ["students.change_student"] * 5_000
    if not session:
        answer = sender.put(f"/api/users/{admin.pk}/permissions/", {"permissions": labels})
        assert answer.status_code == 200


def test_nothing_is_written_to_files(settings: Settings) -> None:
    assert not any(
        TemporaryFileUploadHandler.__name__ in handler for handler in settings.FILE_UPLOAD_HANDLERS
    )


@pytest.mark.parametrize(
    ("size", "length"),
    [(0, 0), (1, 1), (ANONYMOUS, ANONYMOUS), (ANONYMOUS + 1, None), (10 * ANONYMOUS, None)],
)
def test_a_body_in_chunks_has_a_length_when_it_is_read(size: int, length: int | None) -> None:
    """`None`: one that everybody is refused; no more than one byte beyond the limit was taken from it."""
    body = io.BytesIO(b"x" * size)
    seen: dict[str, Any] = {}
    bounded(lambda environ, _: seen.update(environ) or [])(
        {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input": body}, lambda *_: None
    )
    assert body.tell() <= ANONYMOUS + 1
    if length is None:
        assert int(seen["CONTENT_LENGTH"]) > 10**12
    else:
        assert int(seen["CONTENT_LENGTH"]) == length == len(seen["wsgi.input"].read())
