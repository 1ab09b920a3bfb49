"""`authz-sidecar replay`: what it reads, what it says, and its exit codes."""

from __future__ import annotations

import gzip
import io
import json
import sys
from pathlib import Path

import pytest

from authz_sidecar import cli
from authz_sidecar.commands.progress import Progress
from authz_sidecar.core.entities import Position
from authz_sidecar.core.verdicts import Code, Decision, Identity, Requirement, Verdict
from authz_sidecar.observe.composed import Composer

EPOCH = "3f2a9c1b-0000-4000-8000-000000000000"
CHANGE = Requirement("any", ("students.change_student",))
POLICY = """
version: 1
rules:
  - {{methods: [PATCH], path: "/students/{{id}}/", {}}}
"""


def line(subject: str | None, code: Code, number: int = 3, at: float = 1_795_000_000.0) -> str:
    who = Identity(subject, "key", 0.0, None, 0, None) if subject else None
    verdict = Verdict(code, "", Position(EPOCH, 7, "2026-11-18T11:00:00.000000Z"), 0.1)
    rule = "PATCH /students/{id}/"
    status = 0 if verdict.allowed else 403
    decision = Decision(
        "r", "PATCH", f"/students/{number}/", verdict, status, rule, CHANGE, who, policy="a1b2"
    )
    return Composer().decision(decision, at)


LOG = [
    line("17", Code.GRANTED),
    line("17", Code.GRANTED, 4, at=1_795_003_600.0),
    line("18", Code.GRANTED),
    line("19", Code.PERMISSION_DENIED),
    line("20", Code.SUPERUSER),
    line(None, Code.TOKEN_MISSING),
    '{"type": "answer", "request_id": "r", "status": 200}\n',
]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "decisions.jsonl"
    path.write_text("".join(LOG))
    return path


def replay(tmp_path: Path, demands: str, *arguments: str | Path) -> int:
    policy = tmp_path / "new.yaml"
    policy.write_text(POLICY.format(demands))
    return cli.main(["replay", f"--policy={policy}", *map(str, arguments)])


def test_nothing_changes_under_the_same_rules(
    tmp_path: Path, log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert replay(tmp_path, "permission: students.change_student", log) == 0
    shown = capsys.readouterr().out
    assert "6 decisions from 2026-11-18T11:06:40.000000Z to 2026-11-18T12:06:40.000000Z" in shown
    assert "           6  as they were" in shown


def test_who_is_refused_how_often(tmp_path: Path, log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    both = "permission: {all: [students.change_student, students.review]}"
    assert replay(tmp_path, both, log) == 1
    shown = capsys.readouterr().out
    assert "           3  as they were" in shown
    assert "           3  cannot be known" in shown
    assert "cannot be known: 3 decisions of 2 subjects" in shown
    assert "  for whom  17 (2), 18 (1)" in shown


def test_who_is_let_through(tmp_path: Path, log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert replay(tmp_path, "allow: authenticated", log) == 1
    shown = capsys.readouterr().out
    assert "let through now: 1 decision of 1 subject" in shown
    assert "  then      permission_denied, by PATCH /students/{id}/" in shown
    assert "  now       authenticated, by PATCH /students/{id}/" in shown
    assert "  for whom  19 (1)" in shown
    assert "  like      PATCH /students/3/" in shown


def test_a_group_that_gives_nothing_any_more(
    tmp_path: Path, log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    demands = "permission: students.change_student"
    assert replay(tmp_path, demands, "--without-group=3", "--json", log) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["same"], found["flips"]) == (3, [])
    assert found["unknown"][0]["by_subject"] == {"17": 2, "18": 1}


def test_for_programs(tmp_path: Path, log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert replay(tmp_path, "allow: authenticated", "--json", log) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["decisions"], found["same"], found["other_reason"]) == (6, 1, 4)
    (flip,) = found["flips"]
    assert (flip["allowed"], flip["now"]["code"], flip["by_subject"]) == (True, "authenticated", {"19": 1})


def test_compressed_files_and_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    packed = tmp_path / "old.jsonl.gz"
    packed.write_bytes(gzip.compress("".join(LOG).encode()))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("".join(LOG).encode())))
    assert replay(tmp_path, "permission: students.change_student", packed, "-") == 0
    assert "12 decisions" in capsys.readouterr().out


def test_lines_that_cannot_be_read_are_counted_and_told(
    tmp_path: Path, log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log.write_text("".join(LOG) + '{"type": "decision", "at": "x"}\n[]\n' + LOG[0][:40])
    assert replay(tmp_path, "permission: students.change_student", log) == 1
    shown = capsys.readouterr().out
    assert "3 lines cannot be read:" in shown
    assert f"{log}:8: method: missing" in shown
    assert f"{log}:9: no JSON object" in shown
    assert f"{log}:10: not JSON" in shown


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "there is no line of type decision"),
        ("hello\n", "not JSON"),
        (None, "cannot be read: No such file or directory"),
    ],
)
def test_what_is_no_decision_log(
    tmp_path: Path, content: str | None, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "log"
    if content is not None:
        path.write_text(content)
    assert replay(tmp_path, "allow: anyone", path) == 2
    assert said in capsys.readouterr().err


def test_a_broken_archive_file_of_gzip_is_told(
    tmp_path: Path, log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torn = tmp_path / "torn.jsonl.gz"
    torn.write_bytes(gzip.compress(("".join(LOG) * 50).encode())[:300])
    assert replay(tmp_path, "permission: students.change_student", log, torn) == 1
    assert "is cut off" in capsys.readouterr().out


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_bar_is_for_terminals() -> None:
    assert Progress("replay", 200).text(50, 1_000, 2.0) == (
        "replay ███████░░░░░░░░░░░░░░░░░░░░░░░  25%, 1,000 lines, 6 s left"
    )
    assert Progress("replay", 0).text(50, 1_000, 2.0) == "replay: 1,000 lines"
    terminal, file = Terminal(), io.StringIO()
    for stream in (terminal, file):
        progress = Progress("replay", 200, stream)
        progress.at(50, 1_000)
        progress.end()
    assert terminal.getvalue().endswith("\r\x1b[K")
    assert "25%" in terminal.getvalue()
    assert file.getvalue() == ""
