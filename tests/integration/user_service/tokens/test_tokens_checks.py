"""Bad settings are system check errors that name the variable and the mend."""

from pathlib import Path

import pytest
from django.core.checks import run_checks
from pytest_django import Settings


def found() -> dict[str, str]:
    return {m.id: f"{m.msg} {m.hint}" for m in run_checks() if m.id.startswith("tokens.")}


def test_good_settings_pass() -> None:
    assert found() == {}


@pytest.mark.parametrize(
    ("name", "value", "identifier"),
    [
        ("AUTH_SIGNING_ALGORITHM", "HS256", "tokens.E001"),
        ("AUTH_ISSUER", "", "tokens.E004"),
        ("AUTH_AUDIENCES", [], "tokens.E005"),
        ("AUTH_LOGIN_RATE", "ten", "tokens.E006"),
        ("AUTH_LOGIN_RATE", "10/", "tokens.E006"),
        ("AUTH_LOGIN_RATE", "10/y", "tokens.E006"),
        ("AUTHENTICATION_BACKENDS", ["django.contrib.auth.backends.ModelBackend"], "tokens.W002"),
    ],
)
def test_a_bad_setting_is_named(settings: Settings, name: str, value: object, identifier: str) -> None:
    setattr(settings, name, value)
    problems = found()
    assert list(problems) == [identifier]
    assert problems[identifier].startswith(name)


def test_a_key_directory_without_keys_is_a_warning(settings: Settings, tmp_path: Path) -> None:
    for directory in (tmp_path / "missing", tmp_path):
        settings.AUTH_KEYS_DIR = directory
        assert list(found()) == ["tokens.W001"]


def test_a_key_directory_that_is_a_file_is_an_error(settings: Settings, tmp_path: Path) -> None:
    settings.AUTH_KEYS_DIR = tmp_path / "file"
    settings.AUTH_KEYS_DIR.touch()
    assert "Not a directory" in found()["tokens.E002"]


def test_a_bad_key_is_an_error_that_names_the_file(keys_dir: Path) -> None:
    (keys_dir / "broken.pem").write_text("no key")
    assert "broken.pem" in found()["tokens.E003"]
