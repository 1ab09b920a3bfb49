"""A database that another program keeps locked: the API and sign-in say so, and when to come back."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.db import connection
from pytest_django import Settings
from rest_framework.test import APIClient

from accounts.models import User
from authz_tokens import access, keys

PASSWORD = "correct horse battery"


@pytest.fixture
def locked(database: str, settings: Settings, tmp_path: Path) -> Iterator[User]:
    """An administrator, on a database that somebody else is writing to for a long time."""
    private = keys.GENERATE["ES256"]()
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    settings.AUTH_KEYS_DIR = tmp_path
    (tmp_path / "key.pem").write_bytes(pem)
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    admin = User.objects.create_superuser(username="admin", password=PASSWORD)
    connection.cursor().execute("PRAGMA busy_timeout = 50")
    other = sqlite3.connect(database.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    yield admin
    other.close()


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize("call", ["grant", "token", "form"])
def test_it_is_said_when_to_come_back(locked: User, call: str) -> None:
    client = APIClient(raise_request_exception=False)
    sign_in = {"username": "admin", "password": PASSWORD}
    if call == "grant":
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {access.mint(user=locked, audience='user-service')}")
        answer = client.post("/api/groups/", {"name": "registrars"})
    elif call == "token":
        answer = client.post("/api/token/", sign_in)
    else:
        answer = client.post("/admin/login/", sign_in, format="multipart")
    assert answer.status_code == 503
    assert answer["Content-Type"] == "application/problem+json"
    assert int(answer["Retry-After"]) >= 1
