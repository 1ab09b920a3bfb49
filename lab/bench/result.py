"""What each part of the bench ends with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lab.bench.figures import Bar


@dataclass(frozen=True)
class Result:
    """A title, the bars, other facts worth a line, tables in Markdown, and the raw data."""

    title: str
    bars: Sequence[Bar]
    facts: Mapping[str, Any] = field(default_factory=dict)
    tables: str = ""
    raw: Any = None
    chart: str | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "bars": [bar.as_json() for bar in self.bars],
            "facts": dict(self.facts),
            **({"raw": self.raw} if self.raw is not None else {}),
        }
