"""A failing plan as a story that a person can read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict

from lab.simulation.plan import Plan
from lab.simulation.run import run

_TURNING_POINTS = re.compile(r"fault |restored|.*(resync|stands at)|VIOLATION|.*store ")
LAST = 12
"""Events before the end that are told in full."""


def tell(plan: Plan) -> Iterator[str]:
    """The plan, its turning points, and the last events before something was wrong."""
    events: list[tuple[float, str]] = []
    outcome = run(plan, lambda at, event: events.append((at, event)))
    yield f"seed {plan.seed}, {len(plan.faults)} faults, {outcome.digest}"
    yield ", ".join(f"{name} {value}" for name, value in asdict(plan.setup).items())
    for index, (at, event) in enumerate(events):
        if index >= len(events) - LAST or _TURNING_POINTS.match(event):
            yield f"{at:9.3f} s  {event}"
    yield from outcome.violations


def trace(plan: Plan) -> Iterator[str]:
    """Everything that happens."""
    events: list[str] = []
    outcome = run(plan, lambda at, event: events.append(f"{at:12.6f} s  {event}"))
    yield from events
    yield f"digest {outcome.digest}"
