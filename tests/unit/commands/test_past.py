"""`explain --at` and `replay --archive`: what the archive knows and the log does not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from authz_sidecar import cli
from authz_sidecar.core.entities import Position
from authz_sidecar.core.verdicts import Code, Decision, Identity, Requirement, Verdict
from authz_sidecar.observe.composed import Composer

EPOCH = "3f2a9c1b-0000-4000-8000-000000000000"
CHANGE = "students.change_student"
POLICY = """
version: 1
rules:
  - {methods: [PATCH], path: "/students/{id}/", permission: students.change_student}
  - {methods: [DELETE], path: "/students/{id}/", permission: students.review}
"""


def user(*groups: str, **more: Any) -> dict[str, Any]:
    state = {
        "active": True,
        "superuser": False,
        "permissions": [],
        "groups": list(groups),
        "token_generation": 0,
    }
    return {"kind": "user", "key": "17", "state": {**state, **more}}


def group(key: str, *labels: str) -> dict[str, Any]:
    return {"kind": "group", "key": key, "state": {"permissions": list(labels)}}


def at(revision: int) -> str:
    return f"2026-11-22T09:00:{revision:02}.000000Z"


def change(revision: int, *entities: dict[str, Any]) -> dict[str, Any]:
    line = {"v": 1, "type": "change", "epoch": EPOCH, "revision": revision, "at": at(revision)}
    return {**line, "entities": entities, "archived_at": 1_795_338_000.0 + revision}


LINES: list[dict[str, Any]] = [
    {"type": "snapshot", "v": 1, "epoch": EPOCH, "revision": 1, "at": at(1), "archived_at": 1_795_338_001.0},
    {"revision": 1, **user("3")},
    {"revision": 1, **group("3", CHANGE)},
    {"revision": 1, **group("4", CHANGE)},
    {"type": "end", "entities": 3},
    change(2, group("9", "students.add_student")),
    change(3, user()),
    change(4, group("9")),
    {"type": "snapshot", "v": 1, "epoch": EPOCH, "revision": 6, "at": at(6), "archived_at": 1_795_338_006.0},
    {"revision": 6, **user("4")},
    {"revision": 6, **group("4", CHANGE)},
    {"type": "end", "entities": 2},
]


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    (tmp_path / "policy.yaml").write_text(POLICY)
    folder = tmp_path / "archive"
    folder.mkdir()
    (folder / "00000001.jsonl").write_text("".join(json.dumps(line) + "\n" for line in LINES))
    return folder


def explain(archive: Path, *arguments: str) -> int:
    policy = archive.parent / "policy.yaml"
    return cli.main(["explain", f"--policy={policy}", f"--archive={archive}", "--subject=17", *arguments])


@pytest.mark.parametrize(
    ("when", "code", "said"),
    [
        (["--at=3f2a9c1b.2"], 0, "  grant     students.change_student is held through group 3"),
        (["--at=2026-11-22T09:00:02.5Z"], 0, f"  revision  3f2a9c1b.2 of {at(2)}"),
        (
            ["--at=3f2a9c1b.3"],
            1,
            "  grant     students.change_student is missing; it would come with group 3 or 4",
        ),
        (["--at=3f2a9c1b.4"], 1, f"  changed   by 3f2a9c1b.3 at {at(3)}: before, granted"),
        (["--at=2026-11-22T10:00:05.5+01:00"], 1, f"  revision  3f2a9c1b.4 of {at(4)}"),
        ([], 0, f"  changed   by 3f2a9c1b.6 at {at(6)}: before, permission_denied"),
    ],
)
def test_in_the_past(
    archive: Path, when: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert explain(archive, *when, "PATCH", "/students/3/") == code
    assert said in capsys.readouterr().out.splitlines()


def test_what_never_was_otherwise_has_no_last_change(
    archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert explain(archive, "--json", "DELETE", "/students/3/") == 1
    assert json.loads(capsys.readouterr().out)["last_change"] is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--at=tomorrow"], "--at: must be a revision like 3f2a9c1b.1234 or a time like"),
        (
            ["--at=3f2a9c1b.5"],
            f"--at: 3f2a9c1b.5: the archive holds 3f2a9c1b.1 ({at(1)}) to 3f2a9c1b.6 ({at(6)})",
        ),
        (["--at=2020-01-01"], "--at: 2020-01-01: the archive holds"),
        (["--superuser"], "leave --permissions and --superuser out"),
        (["--archive=/nonexistent"], "--archive: /nonexistent: cannot be read: No such file or directory"),
    ],
)
def test_what_the_archive_cannot_tell(
    archive: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert explain(archive, *arguments, "PATCH", "/students/3/") == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--at=3f2a9c1b.5"], ["--archive=x"]])
def test_a_past_needs_an_archive_and_a_policy(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["explain", *arguments, "PATCH", "/students/3/"]) == 2
    assert "--at goes with --archive, and --archive with --policy" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "nothing is recorded there yet"),
        ("precious\n", "00000001.jsonl:1: message: not JSON"),
        (
            json.dumps(change(1, user())) + "\n" + json.dumps(change(3, user())) + "\n",
            "revision 3 does not follow 1",
        ),
        (json.dumps(LINES[0]) + "\n", "the snapshot does not end"),
    ],
)
def test_an_archive_that_cannot_be_read(
    archive: Path, content: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (archive / "00000001.jsonl").write_text(content)
    assert explain(archive, "PATCH", "/students/3/") == 2
    assert said in capsys.readouterr().err


def decision(revision: int, code: Code) -> str:
    who = Identity("17", "key", 0.0, None, 0, None)
    verdict = Verdict(code, "", Position(EPOCH, revision, at(revision)), 0.1)
    rule = "PATCH /students/{id}/"
    need = Requirement("any", (CHANGE,))
    return Composer().decision(Decision("r", "PATCH", "/students/3/", verdict, 0, rule, need, who), 1.0)


def test_a_replay_knows_more_with_an_archive(archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = archive.parent / "log"
    log.write_text(decision(1, Code.GRANTED) + decision(6, Code.GRANTED) + decision(5, Code.GRANTED))
    common = ["replay", f"--policy={archive.parent / 'policy.yaml'}", "--without-group=3", "--json", str(log)]
    assert cli.main(common) == 1
    assert json.loads(capsys.readouterr().out)["unknown"][0]["decisions"] == 3
    assert cli.main([*common, f"--archive={archive}"]) == 1
    found = json.loads(capsys.readouterr().out)
    (flip,) = found["flips"]
    assert (found["same"], flip["decisions"], flip["now"]["code"]) == (1, 1, "permission_denied")
    assert found["unknown"][0]["why"] == "the archive does not hold the revision that it was decided at"
