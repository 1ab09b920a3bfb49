"""Runs the decision's benchmarks and reads their medians."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from lab import ROOT
from lab.bench.figures import Bar
from lab.bench.host import Cores, pinned
from lab.bench.result import Result
from lab.stack.process import StackError

LIMIT = 15.0
BENCHMARKS = ROOT / "tests" / "unit" / "lab" / "bench" / "test_decision.py"


def run(cores: Cores, *, quick: bool) -> Result:
    found = _medians(cores, seconds=0.2 if quick else 2.0)
    ours, casbin = found["test_authorize"], found["test_casbin[indexed-by-subject]"]
    bars = [Bar("decision alone, pipeline, warm, median", LIMIT, found["test_pipeline"], "µs")]
    facts = {
        "grants alone, ours, median µs": f"{ours:.1f}",
        "grants alone, Casbin indexed by subject, median µs": f"{casbin:.1f}, {casbin / ours:.1f} times ours",
        "grants alone, Casbin plain, median µs": f"{found['test_casbin[plain]']:,.0f}",
    }
    return Result("Decision", bars, facts, raw=found)


def _medians(cores: Cores, *, seconds: float) -> dict[str, float]:
    """Microseconds by benchmark."""
    with TemporaryDirectory() as directory:
        path = Path(directory, "benchmarks.json")
        options = [
            *("-q", "-p", "no:cacheprovider", "-p", "no:xdist", f"--benchmark-json={path}"),
            *("-o", "pythonpath=user_service"),  # and before that what PYTHONPATH names: the compiled sidecar
            *(f"--benchmark-max-time={seconds}", "--benchmark-warmup=on", "--benchmark-disable-gc"),
            *("--benchmark-warmup-iterations=1000", "--timeout=0", "--tb=line", "--show-capture=no"),
        ]
        argv = pinned(cores, [sys.executable, "-P", "-m", "pytest", BENCHMARKS, *options])
        done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise StackError(
                f"the decision's benchmarks failed:\n{done.stdout[-2_000:]}{done.stderr[-2_000:]}"
            )
        measured = json.loads(path.read_text())["benchmarks"]
    return {each["name"]: each["stats"]["median"] * 1e6 for each in measured}
