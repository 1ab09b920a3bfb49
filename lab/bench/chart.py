"""The chart of docs/benchmarks.svg: CPU time a request, by proxy, with the spread over the rounds."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from html import escape

from lab.bench.field import Contender
from lab.bench.figures import Spread, cpu
from lab.bench.peers.base import Work
from lab.bench.peers.sidecar import Cached
from lab.bench.rounds import Rounds

LABELS, BARS, FIGURES = 320, 460, 80
ROW, TOP, BOTTOM = 28, 64, 64
INK, FAINT, GRID = "#1f2933", "#616e7c", "#d9e2ec"
COLOURS = {Work.NOTHING: "#bcccdc", Work.TOKEN: "#829ab1", Work.ASKS: "#e8a87c", Work.DECIDES: "#486581"}
OURS = "#2f855a"


@dataclass(frozen=True)
class _Axis:
    """From 0 to `lines` times `step`, which holds the highest value."""

    step: float
    lines: int

    @classmethod
    def up_to(cls, highest: float) -> _Axis:
        step = next((step for step in (10, 20, 50, 100, 200, 500, 1_000) if step * 8 >= highest), 2_000)
        return cls(step, math.ceil(highest / step))

    def x(self, value: float) -> float:
        return LABELS + BARS * value / (self.step * self.lines)


def draw(field: Sequence[Contender], rounds: Rounds) -> str:
    """SVG: a bar for each proxy, the cheapest first."""
    rows = [
        (contender, Spread.of([cpu(sample) for sample in rounds[contender.name]]))
        for contender in field
        if contender.process
    ]
    rows.sort(key=lambda row: row[1].median)
    axis = _Axis.up_to(max(spread.high for _, spread in rows))
    bottom = TOP + ROW * len(rows)
    width, height = LABELS + BARS + FIGURES, bottom + BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" font-family="system-ui, sans-serif" font-size="13">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        _text(16, 24, "CPU of the proxy, µs a request (less is better)", size=16, weight=600),
        _text(16, 44, "POST with RS256 tokens of 1,000 subjects, 32 connections; median and spread", FAINT),
        *_grid(axis, bottom),
        *(part for index, row in enumerate(rows) for part in _row(index, *row, axis)),
        *_legend({contender.work for contender, _ in rows}, bottom + 46),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _grid(axis: _Axis, bottom: float) -> list[str]:
    parts = []
    for line in range(axis.lines + 1):
        x = axis.x(axis.step * line)
        parts.append(f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{bottom}" stroke="{GRID}"/>')
        parts.append(_text(x, bottom + 18, f"{axis.step * line:,.0f}", FAINT, anchor="middle"))
    return parts


def _legend(works: Collection[Work], y: float) -> list[str]:
    parts, x = [], 16.0
    for work, colour in COLOURS.items():
        if work in works:
            parts.append(f'<rect x="{x}" y="{y - 10}" width="12" height="12" fill="{colour}"/>')
            parts.append(_text(x + 18, y, work.value, FAINT))
            x += 40 + 7 * len(work.value)
    return parts


def _row(index: int, contender: Contender, spread: Spread, axis: _Axis) -> list[str]:
    ours = contender.name == Cached.name
    top = TOP + ROW * index
    middle = top + ROW / 2
    colour = OURS if ours else COLOURS[contender.work]
    low, median, high = (axis.x(value) for value in (spread.low, spread.median, spread.high))
    return [
        _text(LABELS - 10, middle + 4, contender.title, anchor="end", weight=600 if ours else 400),
        f'<rect x="{LABELS}" y="{top + 4}" width="{median - LABELS:.1f}" height="{ROW - 8}" '
        f'fill="{colour}">'
        f"<title>{escape(contender.title)}: {escape(contender.work.value)}</title></rect>",
        f'<path d="M{low:.1f} {middle}H{high:.1f}M{low:.1f} {middle - 4}v8M{high:.1f} {middle - 4}v8" '
        f'stroke="{INK}" fill="none"/>',
        _text(high + 8, middle + 4, f"{spread.median:,.0f}", weight=600 if ours else 400),
    ]


def _text(
    x: float,
    y: float,
    text: str,
    colour: str = INK,
    *,
    anchor: str = "start",
    size: int = 13,
    weight: int = 400,
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" text-anchor="{anchor}" font-size="{size}" '
        f'font-weight="{weight}">{escape(text)}</text>'
    )
