"""A share of `scripts/simulate`: seeds without a violation, and seeds that find what was mended, undone."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from lab import ROOT
from lab.simulation.mutants import MUTANTS
from lab.simulation.mutants.mutant import Mutant
from lab.simulation.mutants.trial import judge

SEEDS = 8
SHARE = [
    "copy-ahead-taken-over",
    "drift-repaired-from-any-history",
    "position-waits-for-the-store",
    "silence-longer-than-the-bound",
]
"""Faults that the simulator found in the sidecar; each with the seed that finds it again."""


@pytest.mark.parametrize("first", range(0, SEEDS, 4))
def test_nothing_is_wrong(first: int) -> None:
    argv = [sys.executable, "-m", "lab.simulation", "--until-caught", "--first", str(first), "--seeds", "4"]
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    done = subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    "mutant",
    [each for each in MUTANTS if each.name in SHARE and each.seed is not None],
    ids=lambda each: each.name,
)
def test_what_was_mended_is_found_again(mutant: Mutant) -> None:
    assert mutant.seed is not None
    assert judge(mutant, mutant.seed, 1).startswith(f"seed {mutant.seed}: ")


def test_every_mutant_has_its_place() -> None:
    for mutant in MUTANTS:
        for edit in mutant.edits:
            assert (ROOT / edit.path).read_text().count(edit.before) == 1, mutant.name
