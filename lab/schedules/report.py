"""What is printed of verdicts."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from lab.schedules.player import Verdict

MOST = 8
"""Failures that are told in full."""
WIDTH = 130


@dataclass
class Report:
    played: int = 0
    seconds: float = 0.0
    begun: float = 0.0
    failures: list[Verdict] = field(default_factory=list)
    smallest: list[Verdict] = field(default_factory=list)

    def add(self, verdict: Verdict) -> None:
        self.played += 1
        if verdict.wrong:
            self.failures.append(verdict)

    def examples(self) -> list[Verdict]:
        """One of each sort, the shortest."""
        found: dict[str, Verdict] = {}
        for verdict in sorted(self.failures, key=lambda verdict: len(str(verdict.schedule))):
            found.setdefault(_sort(verdict), verdict)
        return list(found.values())[:MOST]

    def __str__(self) -> str:
        told = {str(verdict.schedule): verdict for verdict in self.smallest}
        pace = f"{self.seconds:.0f} s ({self.played / max(self.seconds, 1):.0f} a second)"
        summary = f"{self.played} schedules in {pace}, {len(self.failures)} fail"
        return "\n\n".join([*map(told_short, told.values()), summary])


def told_short(verdict: Verdict) -> str:
    return told(verdict, WIDTH)


def told(verdict: Verdict, width: int | None) -> str:
    """The schedule, as it can be replayed, what happened, and what is wrong with it."""
    lines = [f"  {line}"[:width] for line in verdict.trace]
    wrong = [f"  WRONG: {what}" for what in verdict.wrong] or ["  nothing is wrong"]
    return "\n".join([f"scripts/explore --replay '{verdict.schedule}'", *lines, *wrong])


def _sort(verdict: Verdict) -> str:
    return re.sub(r"\d+|\{.*?\}|\(.*?\)", "#", verdict.wrong[0])
