"""The command line: what it prints, and the exit code that scripts rely on."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest

from authz_sidecar import __version__, cli
from authz_sidecar.config.table import TABLE

ROOT = Path(__file__).parents[2]
GOOD_POLICY = """
version: 1
rules:
  - {methods: [POST], path: /students/, permission: students.add_student}
  - {methods: [PUT, PATCH], path: "/students/{id}/", permission: {any: [students.change_student, a.b]}}
"""


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for setting in TABLE:
        monkeypatch.delenv(setting.variable, raising=False)


@pytest.fixture
def flags(tmp_path: Path) -> list[str]:
    """A complete configuration."""
    policy = tmp_path / "policy.yaml"
    policy.write_text(GOOD_POLICY)
    return [
        "--upstream=http://127.0.0.1:8001",
        "--user-service=http://127.0.0.1:8000",
        "--service-token=secret",
        f"--policy={policy}",
        "--jwt-issuer=http://issuer",
        "--jwt-audience=student-service",
    ]


def test_check_tells_where_hooks_ask(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", *flags, "--decisions-listen=127.0.0.1:9902"]) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert first.endswith(
        "127.0.0.1:9902 answers those, by X-Forwarded-Method and X-Forwarded-Uri and X-Forwarded-Host"
    )


def test_check_shows_the_rules(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", *flags]) == 0
    first, *lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert first[0] == "127.0.0.1:8080"
    assert "no hook" in " ".join(first)
    assert "AUTHZ_DECISIONS_LISTEN opens a port for those" in " ".join(first)
    assert lines[:3] == [
        ["POST", "/students/", "students.add_student"],
        ["PUT", "/students/{id}/", "any(students.change_student,", "a.b)"],
        ["PATCH", "/students/{id}/", "any(students.change_student,", "a.b)"],
    ]


@pytest.mark.parametrize("command", ["check", "run"])
def test_mistakes_in_settings_and_policy_are_reported_together(
    command: str, flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "policy.yaml").write_text("version: 2\nrules: [{methods: [POST], path: a}]\n")
    assert cli.main([command, *flags, "--mode=loud", "--upstream=", "--listen", "nowhere"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    places = [line.removeprefix("error: ").split(": ")[0] for line in captured.err.splitlines()]
    policy = str(tmp_path / "policy.yaml")
    assert places == ["--listen", "--upstream", "--mode", f"{policy}:1", f"{policy}:2"]


def test_without_any_settings_every_required_one_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run"]) == 2
    named = {line.split(": ")[1] for line in capsys.readouterr().err.splitlines()}
    issuer = {"AUTHZ_JWT_ISSUER", "AUTHZ_JWT_AUDIENCE"}  # or the file of issuers
    assert named == {setting.variable for setting in TABLE if setting.required} | issuer


def test_a_missing_policy_is_an_error(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", *flags, "--policy=/nonexistent/policy.yaml"]) == 2
    assert "/nonexistent/policy.yaml: cannot be read" in capsys.readouterr().err


def test_a_variable_is_enough(
    flags: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AUTHZ_MODE", "loud")
    assert cli.main(["check", *flags]) == 2
    assert cli.main(["check", *flags, "--mode=shadow"]) == 0
    assert "AUTHZ_MODE" in capsys.readouterr().err


def test_schema_is_a_json_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out)["type"] == "object"


@pytest.mark.parametrize("command", ["run", "check"])
def test_help_names_every_setting(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main([command, "--help"])
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    assert not [s.flag for s in TABLE if s.flag not in shown or s.variable not in shown]


@pytest.mark.parametrize(
    "arguments",
    [[], ["fly"], ["run", "--unknown=1"], ["run", "extra"], ["run", "--mode"], ["schema", "--mode=x"]],
)
def test_a_wrong_command_line_is_exit_code_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_version_names_the_package_and_how_it_is_installed(tmp_path: Path) -> None:
    pipeline = find_spec("authz_sidecar.pipeline")
    assert pipeline is not None
    how = "as it is written" if str(pipeline.origin).endswith(".py") else "compiled"
    argv = [sys.executable, "-m", "authz_sidecar", "--version"]
    # Elsewhere: what lies in the working directory would come before what is installed.
    shown = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == f"authz-sidecar {__version__} ({how})"


def test_the_version_is_everywhere_the_same() -> None:
    assert version("authz-sidecar") == __version__
    changes = (ROOT / "CHANGELOG.md").read_text()
    assert re.search(rf"^## .*\b{re.escape(__version__)}\b", changes, re.MULTILINE)
    assert f'image: "authz-sidecar:{__version__}"\n' in (ROOT / "deploy" / "kubernetes.yaml").read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["check", "--accept=nonsense"], "argument --accept: invalid choice: 'nonsense' (choose from "),
        (["readiness", "--policy=p", "--days=-3", "d"], "--days: must be a number from 0, not '-3'"),
        (["readiness", "--policy=p", "--days=nan", "d"], "--days: must be a number from 0, not 'nan'"),
        (["readiness", "--policy=p", "--days=week", "d"], "--days: must be a number from 0, not 'week'"),
        (
            ["verify", "--archive=a", "--max-staleness=0"],
            "--max-staleness: must be a number above 0, not '0'",
        ),
        (
            ["verify", "--archive=a", "--max-staleness=inf"],
            "--max-staleness: must be a number above 0, not 'inf'",
        ),
        (
            ["verify", "--archive=a", "--clock-tolerance=-1"],
            "--clock-tolerance: must be a number from 0, not '-1'",
        ),
        (["archive", "--folder=a", "--interval=0"], "--interval: must be a number above 0, not '0'"),
        (["archive", "--folder=a", "--rotate=-1"], "--rotate: must be a number above 0, not '-1'"),
    ],
)
def test_an_argument_that_makes_no_sense_is_told_in_a_few_lines(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert said in told
    assert len(told.splitlines()) < 10
