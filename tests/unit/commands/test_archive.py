"""`authz-sidecar archive`: what it cannot begin with, and what it says of an outage (else: tests/e2e)."""

from __future__ import annotations

from pathlib import Path

import pytest

from authz_sidecar import cli
from authz_sidecar.archive.files import Writer
from authz_sidecar.config.table import TABLE
from lab.stack.process import free_port


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for setting in TABLE:
        monkeypatch.delenv(setting.variable, raising=False)


def archive(folder: Path, *arguments: str) -> int:
    service = [f"--user-service=http://127.0.0.1:{free_port()}", "--service-token=the-token"]
    return cli.main(["archive", f"--folder={folder}", "--once", *service, *arguments])


def test_every_setting_that_is_missing_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["archive", f"--folder={tmp_path}"]) == 2
    told = capsys.readouterr().err
    assert "AUTHZ_USER_SERVICE: is required" in told
    assert "AUTHZ_SERVICE_TOKEN: is required" in told


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--folder=/dev/null/archive"], "--folder: /dev/null/archive: Not a directory"),
    ],
)
def test_what_cannot_be_begun(
    tmp_path: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert archive(tmp_path, *arguments) == 2
    assert said in capsys.readouterr().err


def test_a_folder_that_somebody_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    writer = Writer(tmp_path)
    assert archive(tmp_path) == 2
    assert "another process is writing this archive" in capsys.readouterr().err
    writer.close()


def test_a_service_that_is_away(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert archive(tmp_path) == 2
    told = capsys.readouterr().err
    assert "cannot archive now: User service at 127.0.0.1:" in told
    assert "the-token" not in told
