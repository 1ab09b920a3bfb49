"""Rules of the sidecar broken on purpose: the simulator alone must notice, each within so many seeds."""

from __future__ import annotations

from lab.simulation.mutants import byte_path, copies, decisions, history

MUTANTS = (*history.MUTANTS, *copies.MUTANTS, *decisions.MUTANTS, *byte_path.MUTANTS)


def table() -> str:
    """What docs/simulation.md shows of them."""
    rows = (
        f"| `{mutant.name}` | {'not yet' if mutant.seed is None else mutant.seed} |" for mutant in MUTANTS
    )
    return "\n".join(["| broken rule | seed |", "|---|---|", *rows])
