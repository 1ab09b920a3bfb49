"""What is laid before the exact checker, and what is excused because a sidecar was killed.

The decision log never blocks a request, so `kill -9` takes with it the lines that were queued but not
yet written. A missing line is excused only if its request was with that sidecar within `LOSS_SECONDS`
before the kill; every excuse is counted and reported. Hostile clients keep no record of what they are
answered: decisions on their requests are left out, by the address they come from.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from authz_sidecar.observe.output import BATCH_SECONDS
from authz_sidecar.verify.checker import Evidence
from lab.hostile.clients import NETWORK

LOSS_SECONDS = BATCH_SECONDS + 0.05

Line = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Kill:
    """A sidecar, or a worker of it, was ended between `began` and `ended` (Unix seconds)."""

    sidecar: str
    began: float
    ended: float


def collect(
    decisions: Sequence[Path], answers: Path, received: Path, kills: Sequence[Kill]
) -> tuple[Evidence, set[str]]:
    """The evidence without the requests that are excused, and their ids."""
    logged = [line for path in decisions for line in _lines(path)]
    hostile = {line["request_id"] for line in logged if line.get("peer", "").startswith(NETWORK)}
    decided = [line for line in logged if line["type"] == "decision" and line["request_id"] not in hostile]
    failures = [line for line in logged if line["type"] == "failure"]
    retries = [line for line in logged if line["type"] == "retry"]
    answered, arrived = list(_lines(answers)), list(_lines(received))
    arrived_at = {line["request_id"]: line["at"] for line in arrived}
    known = {line["request_id"] for line in (*decided, *failures)}
    lost = {
        line["request_id"]
        for line in answered
        if line["request_id"] not in known and _lost(line, arrived_at.get(line["request_id"]), kills)
    }
    evidence = Evidence(
        decisions=decided,
        answers=[line for line in answered if line["request_id"] not in lost],
        received=[line for line in arrived if line["request_id"] not in lost],
        failures=failures,
        retries=retries,
    )
    return evidence, lost


def _lost(answer: Line, arrived_at: float | None, kills: Sequence[Kill]) -> bool:
    """Whether the decision was made so shortly before a kill that its line may have gone with it."""
    answered_at = answer["answered_at"] if answer["status"] is not None else None
    moments = [moment for moment in (arrived_at, answered_at) if moment is not None]
    return any(
        kill.sidecar == answer["sidecar"]
        and moments
        and kill.began - LOSS_SECONDS <= min(moments)
        and answer["sent_at"] <= kill.ended
        for kill in kills
    )


def _lines(path: Path) -> Iterator[Line]:
    with path.open(encoding="utf-8") as file:
        for text in file:
            yield json.loads(text)
