"""Where results go: the terminal, JSON files, and the generated part of docs/benchmarks.md."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lab import ROOT
from lab.bench import host, report
from lab.bench.result import Result

DOCUMENT = ROOT / "docs" / "benchmarks.md"
CHART = "benchmarks.svg"
PUBLISHED = ROOT / "lab" / "bench" / "results"
SCRATCH = ROOT / "build" / "bench"
BEGIN, END = "<!-- {name}: written by scripts/bench -->\n", "<!-- end of {name} -->\n"


def show(results: Mapping[str, Result]) -> None:
    for result in results.values():
        print(f"\n## {result.title}\n\n{markdown(result)}")


def markdown(result: Result) -> str:
    parts = [result.tables, report.bars(result.bars), report.facts(result.facts)]
    return "\n".join(part for part in parts if part)


def write(results: Mapping[str, Result], busy: float, *, publish: bool) -> Path:
    """The directory of the JSON files. `publish` also renews the document and its chart.

    `busy`: the share of the machine that others used before the bench began.
    """
    directory = PUBLISHED if publish else SCRATCH
    directory.mkdir(parents=True, exist_ok=True)
    run = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": host.description(),
        "busy with other programs": f"{busy:.0%}",
    }
    for name, result in results.items():
        text = json.dumps({**run, **result.as_json()}, indent=1)
        (directory / f"{name}.json").write_text(text + "\n")
        if result.chart:
            ((DOCUMENT.parent if publish else directory) / CHART).write_text(result.chart)
        if publish:
            text = f"{_conditions(run)}\n{markdown(result)}"
            DOCUMENT.write_text(replaced(DOCUMENT.read_text(), name, text))
    return directory


def _conditions(run: Mapping[str, Any]) -> str:
    machine = run["machine"]
    return (
        f"{run['at'][:10]}, {machine['cores']} cores of {machine['cpu']}, Linux {machine['kernel']}, "
        f"Python {machine['python']}; other programs used {run['busy with other programs']} at the start.\n"
    )


def replaced(document: str, name: str, text: str) -> str:
    """The document with its part `name` renewed. Raises ValueError when it has no such part."""
    begin, end = BEGIN.format(name=name), END.format(name=name)
    before, found, rest = document.partition(begin)
    _, found_end, after = rest.partition(end)
    if not (found and found_end):
        raise ValueError(f"the document has no part {name!r}")
    return f"{before}{begin}\n{text}\n{end}{after}"
