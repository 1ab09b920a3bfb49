"""Whole worlds: the same seed is the same world, here and in another process."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from lab import ROOT
from lab.simulation import fleet
from lab.simulation.plan import draw
from lab.simulation.run import plan_of, run

SEED = 10


def test_a_seed_is_one_plan() -> None:
    assert plan_of(SEED) == plan_of(SEED)
    assert plan_of(SEED) != plan_of(SEED + 1)
    assert draw(SEED + 1, {"a": (1.0, 2.0)}).setup == plan_of(SEED + 1).setup


def test_a_seed_is_one_world_in_every_process() -> None:
    argv = [sys.executable, "-m", "lab.simulation", "--seed", str(SEED), "--trace"]
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    runs = [
        subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    assert runs[0].stdout == runs[1].stdout
    assert runs[0].stdout.splitlines()[-1].startswith("digest ")


def test_faults_and_decisions_happen() -> None:
    outcome = run(plan_of(SEED))
    assert outcome.decisions > 100
    assert outcome.faults.total() > 10
    assert outcome.sidecar_seconds > 60


def test_a_small_fleet_comes_through_its_events(capsys: pytest.CaptureFixture[str]) -> None:
    assert fleet.main(5) == 0
    told = capsys.readouterr().out
    assert "0 of 5 sidecars are not where the log is" in told
    # They share a store: one of them loads it.
    assert "(1 of the snapshots read whole)" in told.splitlines()[0]
