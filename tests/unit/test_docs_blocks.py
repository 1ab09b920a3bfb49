"""Every block of the documents is run as it stands, or the table says what runs it, or why nothing can."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from authz_sidecar import cli
from authz_sidecar.config import issuers_file, policy_file
from authz_sidecar.config.table import TABLE as SETTINGS
from authz_sidecar.core import wire
from authz_sidecar.core.documents import Document
from authz_sidecar.core.entities import Position
from authz_sidecar.core.verdicts import Code, Decision, Identity, Requirement, Verdict
from authz_sidecar.observe.composed import Composer
from lab import ROOT

FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAMES = ("README.md", "SECURITY.md", "CHANGELOG.md", "*/README.md", "docs/**/*.md")
BLOCKS = {
    str(path.relative_to(ROOT)): [block for _, block in FENCED.findall(path.read_text())]
    for name in NAMES
    for path in sorted(ROOT.glob(name))
}


@dataclass(frozen=True)
class Run:
    """Here: the exit code of each of its commands."""

    codes: tuple[int, ...]


@dataclass(frozen=True)
class Policy:
    """Here: its tests hold. `under`: the number of the block with the rules."""

    under: int | None = None


@dataclass(frozen=True)
class Messages:
    """Here: they are read as what comes over the wire."""


@dataclass(frozen=True)
class Issuers:
    """Here: it is read as a file of issuers."""


@dataclass(frozen=True)
class Variables:
    """Here: each is a setting."""


@dataclass(frozen=True)
class By:
    """Elsewhere: by a test that names the document, or (an output) that holds these words."""

    test: str
    words: str = ""


@dataclass(frozen=True)
class No:
    """Not at all, for this reason. That its commands exist is seen in `test_docs`."""

    because: str


PICTURE = No("a drawing")
MINUTES = No("takes minutes, and has tests of its own")
CLUSTER = No("needs a cluster; what it names is seen in tests/unit/deploy")
CONTAINERS = No("needs a container engine; what it names is seen in tests/unit/deploy/test_compose.py")
TABLE: dict[str, list[Run | Policy | Messages | Issuers | Variables | By | No]] = {
    "README.md": [
        PICTURE,
        By("tests/integration/lab/test_entry_points.py", "scripts"),
        By("tests/e2e/test_demo.py", "demo"),
        No("the image is made so, and the bench of each version; it takes minutes"),
        Run((0,)),
        Policy(),
        MINUTES,
    ],
    "compose/README.md": [CONTAINERS, CONTAINERS, CONTAINERS, CONTAINERS],
    "deploy/README.md": [CLUSTER, By("tests/unit/deploy/test_chart.py")],
    "user_service/README.md": [By("tests/e2e/test_adoption.py")] * 5
    + [By("tests/integration/changelog/test_catalogue.py", "authz_permissions")],
    "docs/architecture.md": [PICTURE, PICTURE],
    "docs/archive.md": [
        By("tests/e2e/test_archive.py", "archive"),
        Run((0, 0)),
        By("tests/e2e/test_archive.py", "0 violations, 0 decisions not judged"),
        By("tests/unit/test_docs_blocks.py", "test_the_nightly_recipe"),
    ],
    "docs/authzen.md": [Variables(), Policy()],
    "docs/contract.md": [
        By("tests/integration/conformance/test_conformance.py"),
        Messages(),
        Messages(),
        PICTURE,
    ],
    "docs/decisions/0002-compiled.md": [No("the same as in README.md")],
    "docs/faults.md": [
        MINUTES,
        No("judges what a campaign left; tests/e2e/test_archive.py does it"),
    ],
    "docs/token-places.md": [By("tests/integration/app/test_browser.py", "authz.bearer.")],
    "docs/gateways/caddy.md": [By("tests/e2e/test_gateways.py", "caddy")],
    "docs/gateways/envoy.md": [By("tests/e2e/test_gateways.py", "envoy"), CLUSTER],
    "docs/gateways/nginx.md": [By("tests/e2e/test_gateways.py", "nginx")],
    "docs/gateways/traefik.md": [By("tests/e2e/test_gateways.py", "traefik")],
    "docs/hostile.md": [MINUTES],
    "docs/identity.md": [By("tests/integration/user_service/test_identity_recipe.py")] * 2,
    "docs/issuers.md": [Issuers(), Issuers()],
    "docs/operations.md": [
        Run((0,)),
        By(
            "tests/unit/commands/test_readiness.py",
            "safe to enforce: 0 would-be refusals in 7.5 days, 1 rule never used",
        ),
        Run((2, 2, 1, 0)),  # the first two ask a sidecar that does not run here: tests/e2e/test_explain.py
        By("tests/unit/test_explained.py", "  changed   - group editors for alice"),
        By("tests/unit/commands/test_past.py", "  changed   by 3f2a9c1b"),
        Run((0, 1)),
    ],
    "docs/policy.md": [Policy(), Policy(), Policy(under=0)],
    "docs/releases.md": [By("tests/integration/lab/test_release.py", "release")],
    "docs/schedules.md": [
        MINUTES,
        MINUTES,
        No("a line of lab/schedules/catalogue"),
    ],
    "docs/user-service.md": [
        By("tests/integration/user_service/tokens/test_tokens_rotation.py", "new_signing_key"),
        By("tests/integration/changelog/test_history.py", "students.add_student for ann"),
        No("one setting; what it does is tried in tests/integration/changelog"),
        No("one setting; what it does is tried in tests/integration/changelog"),
        By("tests/integration/changelog/test_status.py", "authz_status"),
    ],
}

FROM_THEIR_PAGES = "docs/guides/"
"""All blocks of these are run by a test that reads the page: tests/e2e/test_adoption.py."""


def test_each_block_is_in_the_table() -> None:
    told = {name: len(each) for name, each in TABLE.items()}
    assert told == {
        name: len(blocks)
        for name, blocks in BLOCKS.items()
        if blocks and not name.startswith(FROM_THEIR_PAGES)
    }


def of_kind(kind: type) -> Any:
    found = [
        (name, number, how)
        for name, each in TABLE.items()
        for number, how in enumerate(each)
        if isinstance(how, kind)
    ]
    return pytest.mark.parametrize(
        ("name", "number", "how"), found, ids=[f"{name} {number + 1}" for name, number, _ in found]
    )


@of_kind(By)
def test_what_runs_it_knows_it(name: str, number: int, how: By) -> None:
    place = ROOT / how.test
    sources = [place] if place.is_file() else sorted(place.rglob("*.py"))
    wanted = how.words or Path(name).name
    assert any(wanted in source.read_text() for source in sources)


# run here

EPOCH = "3f2a9c1b-0000-4000-8000-000000000000"
CHANGE = "students.change_student"
NEW = """
version: 1
rules:
  - {methods: [PATCH], path: "/students/{id}/", permission: students.change_student}
"""
BEGUN = 1_795_000_000.0
"""2026-11-18, in Unix seconds."""


def decision(policy: str, code: Code, at: float) -> str:
    verdict = Verdict(code, "", Position(EPOCH, 1234, "2026-11-18T11:00:00.000000Z"), 0.1)
    who, asked = Identity("17", "key", 0.0, None, 0, None), Requirement("any", (CHANGE,))
    rule = "PATCH /students/{id}/"
    made = Decision("r", "PATCH", "/students/3/", verdict, 0, rule, asked, who, enforced=False, policy=policy)
    return Composer().decision(made, at)


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the files are that the documents name, with what a sidecar would have written."""
    monkeypatch.chdir(tmp_path)
    for name in [each for each in os.environ if each.startswith("AUTHZ_")]:
        monkeypatch.delenv(name)
    (tmp_path / "policy.yaml").write_text(BLOCKS["README.md"][5])
    (tmp_path / "new.yaml").write_text(NEW)
    (tmp_path / "token").write_text("a" * 64)
    monkeypatch.setenv("AUTHZ_SERVICE_TOKEN_FILE", str(tmp_path / "token"))
    digest = policy_file.load(tmp_path / "policy.yaml").digest
    lines = [decision(digest, Code.GRANTED, BEGUN + days * 86_400) for days in (0, 4, 7.5)]
    (tmp_path / "decisions.jsonl").write_text("".join(lines[1:]))
    (tmp_path / "decisions.jsonl.1.gz").write_bytes(gzip.compress(lines[0].encode()))
    (tmp_path / "authz-archive").mkdir()
    (tmp_path / "authz-archive" / "00000001.jsonl").write_text("".join(map(archived, ENTITIES)))
    return tmp_path


AT = {"epoch": EPOCH, "revision": 1234, "at": "2026-11-18T11:00:00.000000Z", "archived_at": BEGUN - 3600}
USER = {"active": True, "superuser": False, "permissions": [], "groups": ["3"], "token_generation": 0}
ENTITIES: list[dict[str, Any]] = [
    {"type": "snapshot", "v": 1, **AT},
    {"kind": "user", "key": "17", "revision": 7, "state": USER},
    {"kind": "group", "key": "3", "revision": 7, "state": {"permissions": [CHANGE]}},
    {"type": "end", "entities": 2},
]


def archived(line: dict[str, Any]) -> str:
    return f"{json.dumps(line)}\n"


def commands(block: str) -> Iterator[list[str]]:
    """With the files of the workplace."""
    for line in re.sub(r"\\\n", " ", block).splitlines():
        here = re.sub(r"/var/(log/authz|lib)/", "", line.partition(" < ")[0])
        words = shlex.split(here, comments=True)
        while words and re.match(r"[A-Z_]+=", words[0]):
            words.pop(0)
        if words:
            assert words[0] == "authz-sidecar"
            yield words[1:]


@of_kind(Run)
def test_it_runs(name: str, number: int, how: Run, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"a.token")))
    # What runs until it is stopped is checked instead: with the same settings.
    checked = {"run": "check"}
    found = [[checked.get(word, word), *rest] for word, *rest in commands(BLOCKS[name][number])]
    assert tuple(cli.main(words) for words in found) == how.codes


@of_kind(Policy)
def test_a_policy_does_what_its_tests_say(
    name: str, number: int, how: Policy, workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rules = {} if how.under is None else yaml.safe_load(BLOCKS[name][how.under])
    policy = {"version": 1, "rules": [], **rules, **yaml.safe_load(BLOCKS[name][number])}
    (workplace / "this.yaml").write_text(yaml.safe_dump(policy))
    cli.main(["check", "--policy-only", "--policy", "this.yaml"])
    assert "failed_test" not in capsys.readouterr().out


@of_kind(Messages)
def test_messages_are_read(name: str, number: int, how: Messages) -> None:
    decoder, rest = json.JSONDecoder(), BLOCKS[name][number].strip()
    while rest:
        message, end = decoder.raw_decode(rest)
        rest = rest[end:].strip()
        if "type" in message:
            wire.parse_message(json.dumps(message).encode())
        else:
            Document(message, "entity").entity(1)


@of_kind(Issuers)
def test_issuers_are_read(name: str, number: int, how: Issuers, tmp_path: Path) -> None:
    (tmp_path / "issuers.yaml").write_text(BLOCKS[name][number])
    assert issuers_file.read(tmp_path / "issuers.yaml")


@of_kind(Variables)
def test_variables_are_settings(name: str, number: int, how: Variables) -> None:
    known = {setting.variable for setting in SETTINGS}
    named = re.findall(r"^(\w+)=", BLOCKS[name][number], re.MULTILINE)
    assert {each.removesuffix("_FILE") for each in named} <= known


@pytest.mark.parametrize(
    ("archive", "verify", "told"), [(0, 0, ""), (2, 0, "daemon.err"), (0, 1, "daemon.crit")]
)
def test_the_nightly_recipe(archive: int, verify: int, told: str, workplace: Path) -> None:
    programs = workplace / "bin"
    programs.mkdir()
    for name, script in {
        "authz-sidecar": f'echo "$@" >> calls; case $1 in archive) exit {archive};; *) exit {verify};; esac',
        "logger": 'echo "$@" >> told',
    }.items():
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
    recipe = re.sub(r"/var/(log/authz|lib)/", "", BLOCKS["docs/archive.md"][3])
    path = f"{programs}:{os.environ['PATH']}"
    done = subprocess.run(["sh", "-c", recipe], env={"PATH": path}, check=False)
    assert done.returncode == verify
    said = (workplace / "told").read_text() if (workplace / "told").exists() else ""
    assert told in said
    assert bool(said) == bool(told)
    for call in (workplace / "calls").read_text().splitlines():
        cli._parser().parse_args(shlex.split(call))
