"""Keys come and go without a restart, and none signs before verifiers can know it."""

import os
import stat
import time
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from pytest_django import Settings

from authz_tokens import keys


def new_key(age: float, **options: object) -> str:
    """Make a key that has been in the directory for `age` seconds; its kid."""
    out = StringIO()
    call_command("new_signing_key", stdout=out, **{"algorithm": "EdDSA", **options})
    name = out.getvalue().strip()
    published = time.time() - age
    os.utime(keys.settings.AUTH_KEYS_DIR / name, (published, published))
    return name.removesuffix(".pem")


@pytest.fixture
def empty(keys_dir: Path, settings: Settings) -> Path:
    (keys_dir / "first.pem").unlink()
    settings.AUTH_KEY_PUBLISH_SECONDS = 300
    return keys_dir


@pytest.mark.parametrize(
    ("ages", "signs"),
    [
        ([0], 0),
        ([1000, 0], 0),
        ([1000, 301], 1),
        ([1000, 500, 299], 1),
        ([100, 50], 0),
        ([-1000, 10], 1),
        ([301, -1000], 0),
    ],
)
def test_the_newest_key_that_is_ripe_signs(empty: Path, ages: list[float], signs: int) -> None:
    kids = [new_key(age) for age in ages]
    assert keys.signer().kid == kids[signs]
    assert {key.kid for key in keys.published()} == set(kids)


@pytest.mark.parametrize(("ages", "signs"), [([299, 1000], 1), ([1000, 301], 1), ([50, 100], 1)])
def test_a_name_that_is_a_time_counts_for_more_than_when_the_file_was_written(
    empty: Path, ages: list[float], signs: int
) -> None:
    """Kubernetes writes all files of a Secret anew, for each pod and with each change."""
    kids = []
    for age in ages:
        kids.append(new_key(0))
        published = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time() - age))
        (empty / f"{kids[-1]}.pem").rename(empty / f"{published}.pem")
    assert keys.signer().kid == kids[signs]


def test_no_key_no_signature(empty: Path) -> None:
    assert keys.signer() is None


def test_a_directory_that_is_not_there_is_empty(empty: Path, settings: Settings) -> None:
    settings.AUTH_KEYS_DIR = empty / "missing"
    assert list(keys.published()) == []


def test_the_key_set_follows_the_directory(empty: Path, client: Client) -> None:
    def kids() -> set[str]:
        return {key["kid"] for key in client.get("/.well-known/jwks.json").json()["keys"]}

    first, second = new_key(1000), new_key(0)
    assert kids() == {first, second}
    (empty / f"{first}.pem").unlink()
    assert kids() == {second}


def test_the_key_set_is_public_and_cached_for_less_than_a_key_waits(empty: Path, client: Client) -> None:
    new_key(0)
    answer = client.get("/.well-known/jwks.json")
    assert answer["Content-Type"] == "application/json"
    assert answer["Cache-Control"] == "public, max-age=60"
    assert "d" not in answer.json()["keys"][0]


def test_a_bad_file_is_left_out_and_logged(
    empty: Path, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    kid = new_key(0)
    (empty / "broken.pem").write_text("-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n")
    assert [key.kid for key in keys.published()] == [kid]
    assert "broken.pem" in caplog.text
    assert "c2VjcmV0" not in caplog.text


def test_the_command_writes_a_private_file_whole(empty: Path, settings: Settings) -> None:
    settings.AUTH_KEYS_DIR = empty / "made" / "on demand"
    kid = new_key(0)
    (file,) = settings.AUTH_KEYS_DIR.iterdir()
    assert file.name == f"{kid}.pem"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_the_command_can_be_repeated_at_every_start(empty: Path) -> None:
    for _ in range(2):
        call_command("new_signing_key", if_none=True, algorithm="ES256", verbosity=0, stdout=StringIO())
    assert len(keys.published()) == 1


def test_the_algorithm_comes_from_the_setting(empty: Path, settings: Settings) -> None:
    settings.AUTH_SIGNING_ALGORITHM = "ES256"
    call_command("new_signing_key", stdout=StringIO())
    assert keys.signer().algorithm == "ES256"


def test_the_command_names_what_is_wrong(empty: Path, settings: Settings) -> None:
    with pytest.raises(CommandError, match="Unknown algorithm 'HS256'; use one of: RS256, ES256, EdDSA"):
        call_command("new_signing_key", algorithm="HS256")
    file = empty / "file"
    file.touch()
    settings.AUTH_KEYS_DIR = file
    with pytest.raises(CommandError, match="AUTH_KEYS_DIR"):
        call_command("new_signing_key", algorithm="EdDSA")
