"""Plays and judges schedules on one database."""

from __future__ import annotations

from dataclasses import dataclass, replace

from lab.schedules.catalogue import Writer
from lab.schedules.databases import Database
from lab.schedules.execution import Stage
from lab.schedules.judge import judge
from lab.schedules.postgresql import PostgreSQL
from lab.schedules.schedule import Schedule
from lab.schedules.shrinking import smallest
from lab.schedules.sqlite import SQLite


@dataclass(frozen=True)
class Verdict:
    """What came of a schedule."""

    schedule: Schedule
    wrong: tuple[str, ...]
    trace: tuple[str, ...]


class Player:
    def __init__(self, url: str) -> None:
        self._url = url
        self._stage = self._begin([])
        self.database = self._stage.database.vendor

    def _begin(self, used: list[Writer]) -> Stage:
        database: Database = SQLite(self._url) if self._url.startswith("sqlite") else PostgreSQL(self._url)
        return Stage(database, used)

    def play(self, schedule: Schedule) -> Verdict:
        try:
            history = self._stage.play(schedule)
        except BaseException as error:
            self._stage.abandon()
            self._stage = self._begin(self._stage.used)
            if not isinstance(error, Exception):
                raise
            # Whatever it is, it is this schedule's, and the others go on.
            return Verdict(schedule, (f"the explorer itself fails: {error!r}",), ())
        return Verdict(schedule, tuple(judge(history)), tuple(history.trace))

    def shrink(self, verdict: Verdict) -> Verdict:
        """The smallest that still fails; the verdict itself, when it does not fail again."""
        schedule = verdict.schedule
        if not self.play(schedule).wrong:
            return replace(verdict, wrong=(*verdict.wrong, "(but not when it was played again)"))
        return self.play(smallest(schedule, lambda candidate: bool(self.play(candidate).wrong)))

    def close(self) -> None:
        self._stage.close()
