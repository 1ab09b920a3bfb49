"""The tables of docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lab.bench.field import Contender
from lab.bench.figures import Bar, Spread, added, cpu, ratio
from lab.bench.host import MIB
from lab.bench.peers.base import Work
from lab.bench.peers.sidecar import Cached
from lab.bench.plan import Plan
from lab.bench.rounds import Rounds, Sample


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def proxies(field: Sequence[Contender], rounds: Rounds, plan: Plan) -> str:
    header = [
        *("proxy", "does", "CPU µs/request", "requests/s"),
        *(f"added at {rate:g}/s: p50, p99 µs" for rate in (plan.fast_rate, plan.slow_rate)),
        *("memory MiB", "calls to the User service/request"),
    ]
    return table(header, (_proxy(contender, rounds, plan) for contender in field))


def _proxy(contender: Contender, rounds: Rounds, plan: Plan) -> list[str]:
    samples = rounds[contender.name]
    title = f"{contender.title} {contender.version}".strip()
    return [
        f"**{title}**" if contender.name == Cached.name else title,
        contender.work.value if contender.process else "",
        Spread.of([cpu(sample) for sample in samples]).text() if contender.process else "",
        Spread.of([sample.rate for sample in samples]).text(),
        *(_latency(contender, rounds, f"{rate:g}") for rate in (plan.fast_rate, plan.slow_rate)),
        f"{Spread.of([(sample.memory or 0) / MIB for sample in samples]).median:.0f}"
        if contender.process
        else "",
        f"{Spread.of([sample.calls for sample in samples]).median:g}",
    ]


def _latency(contender: Contender, rounds: Rounds, rate: str) -> str:
    if contender.process is None:
        values = [sample.paced[rate] for sample in rounds[contender.name]]
        p50, p99 = (Spread.of([value[index] for value in values]).median for index in (0, 1))
        return f"itself: {p50:,.0f}, {p99:,.0f}"
    more = [added(rounds, contender.name, rate, index) for index in (0, 1)]
    return ", ".join(f"{each.median:,.0f}" for each in more if each)


def comparisons(field: Sequence[Contender], rounds: Rounds, plan: Plan) -> str:
    """Ours against each of the others, paired within rounds."""
    slow = f"{plan.slow_rate:g}"

    def latency(sample: Sample) -> float:
        return sample.paced[slow][0]

    rows = []
    for other in field:
        if other.process is None or other.name == Cached.name:
            continue
        measures = [(cpu, 2), (_rate, 2), *([(latency, 3)] if other.work is Work.ASKS else [])]
        ratios = [(ratio(rounds, Cached.name, other.name, of), digits) for of, digits in measures]
        texts = [each.text(digits) if each else "" for each, digits in ratios]
        rows.append([other.title, *texts, *[""] * (3 - len(texts))])
    return table([f"{Cached.title} against", "CPU", "requests/s", f"median latency at {slow}/s"], rows)


def _rate(sample: Sample) -> float:
    return sample.rate


def bars(found: Sequence[Bar]) -> str:
    rows = (
        [
            bar.what,
            f"{'≥' if bar.at_least else '≤'} {bar.limit:g} {bar.unit}",
            bar.spread or f"{bar.measured:,.3g}",
            "yes" if bar.met else "**no**",
        ]
        for bar in found
    )
    return table(["bar", "limit", "measured", "met"], rows)


def facts(values: Mapping[str, Any]) -> str:
    """What else was seen, one a line."""
    return "".join(f"- {name}: {value}\n" for name, value in values.items())
