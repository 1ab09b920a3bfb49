"""What every entry point promises whoever has only cloned: it tells what it does before it does anything."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from lab import DEADLINE, ROOT

ENTRY_POINTS = sorted(path.name for path in (ROOT / "scripts").iterdir() if os.access(path, os.X_OK))
TOOLS = ("sh", "sed", "dirname", "cat")
"""All that telling may take, besides a Python. Whatever installs, compiles or tests is out of reach."""
BARE = [sys.executable, "-S", "-E", "-B"]
"""Without any package that is installed, and without a trace in the tree."""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What is committed of `scripts` and `lab`, where nothing was set up."""
    for name in ("scripts", "lab"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "results"))
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in TOOLS:
        (tools / name).symlink_to(shutil.which(name) or name)
    _make_program(tools / "python3", f'exec {" ".join(BARE)} "$@"')
    return tmp_path


def _make_program(path: Path, body: str) -> None:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def _run(clone: Path, argv: Sequence[str], **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv,
        cwd=clone,
        env={"PATH": str(clone / "tools"), **env},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


def _files(clone: Path) -> list[Path]:
    return sorted(clone.rglob("*"))


@pytest.mark.parametrize("option", ["--help", "-h"])
@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_help_installs_and_starts_nothing(clone: Path, name: str, option: str) -> None:
    before = _files(clone)
    done = _run(clone, [f"scripts/{name}", option])
    assert (done.returncode, done.stderr) == (0, "")
    assert f"scripts/{name}" in done.stdout
    assert _files(clone) == before


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_a_python_that_is_too_old_is_told_at_once(clone: Path, name: str) -> None:
    old = clone / "old-python"
    pretending = "import sys; sys.version_info, sys.version = (3, 9, 2), '3.9.2'"
    _make_program(old, f'[ "$1" = -c ] && exec {" ".join(BARE)} -c "{pretending}; $2"')
    before = _files(clone)
    done = _run(clone, [f"scripts/{name}"], PYTHON=str(old))
    assert done.returncode != 0
    assert f"Python 3.11 or newer is needed; {old} is 3.9.2." in done.stderr
    assert f"PYTHON=/path/to/python3 scripts/{name}" in done.stderr
    assert _files(clone) == before


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_a_python_that_is_not_there_is_named(clone: Path, name: str) -> None:
    done = _run(clone, [f"scripts/{name}"], PYTHON="/nowhere/python3")
    assert done.returncode != 0
    assert "/nowhere/python3" in done.stderr
    assert f"PYTHON=/path/to/python3 scripts/{name}" in done.stderr


@pytest.mark.parametrize("name", ["check", "fix"])
def test_who_takes_no_arguments_refuses_them(clone: Path, name: str) -> None:
    done = _run(clone, [f"scripts/{name}", "tests"])
    assert done.returncode == 2
    assert f"scripts/{name} takes no arguments" in done.stderr
