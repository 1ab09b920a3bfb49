"""The User service in this process: a fresh database per test, real keys in a real directory."""

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pytest_django import Settings
from rest_framework.test import APIClient

from accounts.models import User
from authz_tokens import access, keys

PASSWORD = "correct horse battery"
MakeUser = Callable[..., User]
SignedIn = Callable[[User], APIClient]


@pytest.fixture(scope="session")
def signing_pem() -> bytes:
    """One RSA key for all tests: making one is slow."""
    private = keys.GENERATE["RS256"]()
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.fixture(autouse=True)
def keys_dir(tmp_path: Path, settings: Settings, signing_pem: bytes) -> Path:
    directory = tmp_path / "keys"
    directory.mkdir()
    (directory / "first.pem").write_bytes(signing_pem)
    settings.AUTH_KEYS_DIR = directory
    return directory


@pytest.fixture(autouse=True)
def _test_settings(settings: Settings, tmp_path: Path) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # fast
    settings.AUTH_LOGIN_RATE = ""
    settings.STATIC_ROOT = tmp_path
    settings.WHITENOISE_USE_FINDERS = False


@pytest.fixture
def password() -> str:
    return PASSWORD


@pytest.fixture
def make_user(db: None) -> MakeUser:
    def make(username: str, **fields: object) -> User:
        return User.objects.create_user(username=username, password=PASSWORD, **fields)

    return make


@pytest.fixture
def admin(make_user: MakeUser) -> User:
    return make_user("admin", is_superuser=True, is_staff=True)


@pytest.fixture
def alice(make_user: MakeUser) -> User:
    return make_user("alice")


@pytest.fixture
def signed_in() -> SignedIn:
    """A client that carries an access token of this user for this service."""

    def client(user: User) -> APIClient:
        token = access.mint(user=user, audience="user-service")
        return APIClient(headers={"authorization": f"Bearer {token}"})

    return client


@pytest.fixture
def as_admin(admin: User, signed_in: SignedIn) -> APIClient:
    return signed_in(admin)


@pytest.fixture
def anybody(db: None) -> APIClient:
    return APIClient()
