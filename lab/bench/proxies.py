"""The side-by-side comparison: its tables, its bars, its chart."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from lab.bench import chart, field, figures, report, rounds
from lab.bench.field import Contender
from lab.bench.plan import Plan
from lab.bench.result import Result
from lab.bench.rounds import Rounds
from lab.bench.world import World


def run(world: World, plan: Plan, names: Collection[str], progress: Callable[[str], object]) -> Result:
    """Raises WrongAnswer when a proxy's answers were not all right."""
    contenders = field.enter(world, names)
    measured = rounds.run(world, contenders, plan, progress)
    tables = (report.proxies(contenders, measured, plan), report.comparisons(contenders, measured, plan))
    return Result(
        title="Proxies",
        bars=figures.bars(measured),
        facts=_conditions(plan, measured),
        tables="\n".join(tables),
        raw={"contenders": [_as_json(each) for each in contenders], "rounds": rounds.as_json(measured)},
        chart=chart.draw(contenders, measured),
    )


def _conditions(plan: Plan, measured: Rounds) -> dict[str, Any]:
    samples = [sample for each in measured.values() for sample in each]
    return {
        "rounds": plan.rounds,
        "seconds at saturation, each": plan.load_seconds,
        "CPU time taken away by the hypervisor, at most": f"{max(s.stolen for s in samples):.1%}",
    }


def _as_json(contender: Contender) -> dict[str, str]:
    return {
        "name": contender.name,
        "title": contender.title,
        "version": contender.version,
        "does": contender.work.value,
    }
