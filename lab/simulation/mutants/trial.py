"""Tries mutants, each in a copy of the package.

    scripts/simulate --mutants            all of them
    scripts/simulate --mutants NAME ...   the shrunk stories of these

A place that is no longer found in the code is as bad as a mutant that is not caught.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from lab import ROOT
from lab.simulation.mutants import MUTANTS
from lab.simulation.mutants.mutant import Mutant

SEEDS = 200


def main(names: Sequence[str]) -> int:
    """Try all mutants, or tell the shrunk story of those of these names. How many were not caught."""
    survivors = 0
    for mutant in MUTANTS:
        if not names or mutant.name in names:
            print(f"{mutant.name:<40}", end="", flush=True)
            verdict = judge(mutant, mutant.seed, 1) if names and mutant.seed is not None else judge(mutant)
            print(verdict, flush=True)
            caught = verdict.startswith("seed ")
            survivors += not caught
            if names and caught:
                seed = verdict.split(":")[0].removeprefix("seed ")
                print(story(mutant, seed), end="", flush=True)
                print("with the rule in force:", _simulate(ROOT, "--seed", seed).stdout, flush=True)
    return survivors


def judge(mutant: Mutant, first: int = 0, seeds: int = SEEDS) -> str:
    """The first seed that catches it, and how."""
    with TemporaryDirectory(prefix="mutant-") as directory:
        try:
            _make(mutant, Path(directory))
        except LookupError as error:
            return f"NOT FOUND: {error}"
        done = _simulate(Path(directory), "--until-caught", "--first", str(first), "--seeds", str(seeds))
    lines = done.stdout.splitlines()
    if done.returncode == 1 and lines:
        return lines[-1]
    return "SURVIVED" if done.returncode == 0 else f"NOT JUDGED: {done.returncode} {done.stderr[-2000:]}"


def story(mutant: Mutant, seed: str) -> str:
    """How that seed catches it, with as few faults as possible."""
    with TemporaryDirectory(prefix="mutant-") as directory:
        _make(mutant, Path(directory))
        return _simulate(Path(directory), "--seed", seed).stdout


def _make(mutant: Mutant, tree: Path) -> None:
    shutil.copytree(ROOT / "authz_sidecar", tree / "authz_sidecar", ignore=shutil.ignore_patterns("*.pyc"))
    for edit in mutant.edits:
        path = tree / edit.path
        code = path.read_text()
        if code.count(edit.before) != 1:
            raise LookupError(edit.before)
        path.write_text(code.replace(edit.before, edit.after))


def _simulate(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-P", "-m", "lab.simulation", *arguments]
    environment = {**os.environ, "PYTHONPATH": f"{tree}:{ROOT}", "PYTHONHASHSEED": "0"}
    return subprocess.run(argv, cwd=tree, env=environment, capture_output=True, text=True, check=False)
