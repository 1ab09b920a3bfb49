"""`authz-sidecar readiness`: safe only after long enough without a would-be refusal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from authz_sidecar import cli
from authz_sidecar.config import policy_file
from authz_sidecar.core.verdicts import Code, Decision, Identity, Requirement, Verdict
from authz_sidecar.observe.composed import Composer

POLICY = """
version: 1
rules:
  - {methods: [POST], path: /students/, permission: students.add_student}
  - {methods: [PATCH], path: "/students/{id}/", permission: students.change_student}
"""
START, DAY = 1_795_000_000.0, 86_400.0
ADD = Requirement("any", ("students.add_student",))


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    return path


def line(policy: Path, code: Code, day: float, *, enforced: bool = False, digest: str = "") -> str:
    decision = Decision(
        "r",
        "POST",
        "/students/",
        Verdict(code),
        403 if enforced and code is Code.PERMISSION_DENIED else 0,
        "POST /students/",
        ADD,
        Identity("17", "key", 0.0, None, 0, None),
        enforced,
        digest or policy_file.load(policy).digest,
    )
    return Composer().decision(decision, START + day * DAY)


def readiness(policy: Path, lines: list[str], *arguments: str) -> int:
    log = policy.parent / "decisions.jsonl"
    log.write_text("".join(lines))
    return cli.main(["readiness", f"--policy={policy}", str(log), *arguments])


def test_safe(policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quiet = [line(policy, Code.GRANTED, day) for day in (0, 3, 7.5)]
    assert readiness(policy, quiet) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "safe to enforce: 0 would-be refusals in 7.5 days, 1 rule never used"
    assert shown[-1] == f"  PATCH /students/{{id}}/ ({policy}:5: rules[1].path)"


def test_what_is_refused_already_is_no_objection(policy: Path) -> None:
    lines = [line(policy, Code.PERMISSION_DENIED, day, enforced=True) for day in (0, 8)]
    assert readiness(policy, lines) == 0


def test_not_safe(policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [line(policy, Code.GRANTED, 0), line(policy, Code.PERMISSION_DENIED, 1), "torn"]
    assert readiness(policy, lines) == 1
    shown = capsys.readouterr().out
    for said in (
        "1 decisions would have been refusals; only 1.0 of 7 days are covered; 1 lines cannot be read",
        "would refuse 1 decision of 1 subject: permission_denied, by POST /students/",
        "  for whom  17 (1)",
    ):
        assert said in shown


def test_since_and_days(policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [
        line(policy, Code.PERMISSION_DENIED, 0),
        line(policy, Code.GRANTED, 2),
        line(policy, Code.GRANTED, 3),
    ]
    assert readiness(policy, lines, "--days=1") == 1
    capsys.readouterr()
    assert readiness(policy, lines, "--days=1", "--since=2026-11-19", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["safe"], found["decisions"], found["unused_rules"][0]["rule"]) == (
        True,
        2,
        "PATCH /students/{id}/",
    )


def test_decisions_by_another_policy_prove_nothing(policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    others = [line(policy, Code.GRANTED, day, digest="other") for day in (0, 9)]
    assert readiness(policy, others) == 2
    assert "2 are by other policies: has the sidecar reloaded?" in capsys.readouterr().err
    assert readiness(policy, [*others, line(policy, Code.GRANTED, 9)]) == 1
    assert "2 decisions by other policies are not counted" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--since=yesterday"], "--since: must be like 2026-11-20, not 'yesterday'"),
        ([], "hold no decision by this"),
    ],
)
def test_what_cannot_be_told(
    policy: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert readiness(policy, [], *arguments) == 2
    assert said in capsys.readouterr().err
