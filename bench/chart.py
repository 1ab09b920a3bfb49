"""The chart of docs/benchmarks.svg: CPU time a request, by proxy, with the spread over the rounds."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from bench.field import Contender
from bench.figures import Spread, cpu
from bench.peers.base import Work
from bench.peers.sidecar import Cached
from bench.rounds import Rounds

LABELS, BARS, FIGURES = 300, 440, 110
ROW, TOP, BOTTOM = 28, 64, 34
INK, FAINT, GRID = "#1f2933", "#616e7c", "#d9e2ec"
COLOURS = {Work.NOTHING: "#bcccdc", Work.TOKEN: "#829ab1", Work.ASKS: "#e8a87c", Work.DECIDES: "#829ab1"}
OURS = "#2f855a"


def draw(field: Sequence[Contender], rounds: Rounds) -> str:
    """SVG. Longer than the widest bar that is not from those who ask is cut, and says so by its figure."""
    rows = [
        (contender, Spread.of([cpu(sample) for sample in rounds[contender.name]]))
        for contender in field
        if contender.process
    ]
    rows.sort(key=lambda row: row[1].median)
    step = _step(max(spread.high for _, spread in rows))
    width, height = LABELS + BARS + FIGURES, TOP + ROW * len(rows) + BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" font-family="system-ui, sans-serif" font-size="13">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        _text(16, 24, "CPU of the proxy, µs a request (less is better)", size=16, weight=600),
        _text(
            16,
            44,
            "POST with RS256 tokens of 1,000 subjects, 32 connections, one core; median and spread",
            FAINT,
        ),
        *_grid(step, TOP + ROW * len(rows)),
        *(part for index, row in enumerate(rows) for part in _row(index, *row, step)),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _step(highest: float) -> float:
    """Distance of the grid lines: five of them hold the highest value."""
    for step in (20, 50, 100, 200, 500, 1_000, 2_000, 5_000):
        if step * 5 >= highest:
            return step
    return highest / 5


def _grid(step: float, bottom: float) -> list[str]:
    parts = []
    for line in range(6):
        x = LABELS + BARS * line / 5
        parts.append(f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{bottom}" stroke="{GRID}"/>')
        parts.append(_text(x, bottom + 18, f"{step * line:,.0f}", FAINT, anchor="middle"))
    return parts


def _row(index: int, contender: Contender, spread: Spread, step: float) -> list[str]:
    ours = contender.name == Cached.name
    top, scale = TOP + ROW * index, BARS / (step * 5)
    middle = top + ROW / 2
    colour = OURS if ours else COLOURS[contender.work]
    low, high = (LABELS + value * scale for value in (spread.low, spread.high))
    return [
        _text(LABELS - 10, middle + 4, contender.title, anchor="end", weight=600 if ours else 400),
        f'<rect x="{LABELS}" y="{top + 4}" width="{spread.median * scale:.1f}" height="{ROW - 8}" '
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
