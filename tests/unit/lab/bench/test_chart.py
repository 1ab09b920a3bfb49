"""The chart is well-formed SVG with every proxy in it, the cheapest first."""

from __future__ import annotations

from xml.etree import ElementTree

from lab.bench import chart
from lab.bench.field import Contender
from lab.bench.peers.base import Work
from lab.bench.rounds import Sample

NAMES = {"sidecar": ("authz-sidecar", 90.0), "dear": ("Dear & slow", 400.0), "cheap": ("Cheap", 30.0)}


def test_chart() -> None:
    process = object()
    field = [
        Contender(name, title, "1", Work.DECIDES, "127.0.0.1:1", process)  # type: ignore[arg-type]
        for name, (title, _) in NAMES.items()
    ]
    rounds = {
        name: [Sample(cpu * times, 0, 1, 1, 1, 1, 0) for times in (0.9, 1, 1.2)]
        for name, (_, cpu) in NAMES.items()
    }
    svg = ElementTree.fromstring(chart.draw(field, rounds))  # noqa: S314 (drawn by us)
    texts = ["".join(element.itertext()) for element in svg.iter("{http://www.w3.org/2000/svg}text")]
    shown = [text for text in texts if text in {title for title, _ in NAMES.values()}]
    assert shown == ["Cheap", "authz-sidecar", "Dear & slow"]
    assert {"30", "90", "400"} <= set(texts)
