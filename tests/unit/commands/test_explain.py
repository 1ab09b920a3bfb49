"""`authz-sidecar explain` by a policy file, and what cannot be asked."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path

import pytest

from authz_sidecar import cli
from lab.stack.process import free_port

POLICY = str(Path(__file__).parents[3] / "compose" / "policy.yaml")


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AUTHZ_")]:
        monkeypatch.delenv(name)


def explain(*arguments: str) -> int:
    return cli.main(["explain", *arguments])


CHANGE = "--permissions=students.change_student"


@pytest.mark.parametrize(
    ("arguments", "code", "lines"),
    [
        (
            [CHANGE, "PATCH", "/students/3/"],
            0,
            [
                "PATCH /students/3/ by somebody: let through, granted",
                "  grant     students.change_student is held directly",
            ],
        ),
        (
            ["--subject=17", CHANGE, "DELETE", "/students/3/"],
            1,
            [
                "DELETE /students/3/ by 17: refused with 403, permission_denied",
                "  because   this needs students.delete_student",
                "  grant     students.delete_student is missing (not all groups are known here)",
            ],
        ),
        (["--superuser", "DELETE", "/students/3/"], 0, ["  grant     a superuser has every permission"]),
        (["PATCH", "/students/3/"], 1, ["  because   this needs an access token"]),
        (["--subject=17", "POST", "/x"], 1, ["  rule      none counts"]),
    ],
)
def test_by_a_policy(
    arguments: list[str], code: int, lines: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert explain(f"--policy={POLICY}", *arguments) == code
    shown = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line not in shown] == []


def test_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert explain("--json", f"--policy={POLICY}", CHANGE, "PATCH", "/students/3/") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["code"], found["revision"], found["rule"]["rule"]) == (
        "granted",
        None,
        "PATCH /students/{id}/",
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([f"--policy={POLICY}", "--token-stdin", "GET", "/"], "leave --token-stdin and --admin out"),
        ([f"--policy={POLICY}", "--permissions=students", "GET", "/"], "students: must be labels like"),
        (["--policy=/nonexistent", "GET", "/"], "/nonexistent: cannot be read"),
        (["--permissions=a.b", "GET", "/"], "--permissions and --superuser are supposed beside a --policy"),
        (["--subject=17", "GET", "/"], "AUTHZ_ADMIN_TOKEN: is required to ask a running sidecar"),
        (["--token-stdin", "GET", "/"], "nothing came on standard input"),
        (["--subject=17", "GET", ""], "path: is required"),
    ],
)
def test_what_cannot_be_asked(
    arguments: list[str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    assert explain(*arguments) == 2
    assert said in capsys.readouterr().err


def test_nobody_there(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("AUTHZ_ADMIN_TOKEN", "s3cret")
    monkeypatch.setenv("AUTHZ_ADMIN_LISTEN", f"0.0.0.0:{free_port()}")
    assert explain("--subject=17", "PATCH", "/students/3/") == 2
    error = capsys.readouterr().err
    assert error.startswith("error: http://127.0.0.1:")
    assert "s3cret" not in error
