"""Requests that were let through and are still under way: they end when what let them through is revoked."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from random import Random

from authz_sidecar.core.entities import EntityKey
from authz_sidecar.core.verdicts import Decision
from lab.simulation.asked import Asked
from lab.simulation.history import Database
from lab.simulation.judge import TOLERANCE, Judge
from lab.simulation.process import Process
from lab.simulation.scheduler import Scheduler

LONGEST = 30.0
"""Seconds a request is under way, at most."""
SLACK = 4.0
"""Seconds that the news of a revocation and its reconsideration may take beyond the bound of staleness."""
SHARE = 0.1
"""Of the requests, those that take long."""


@dataclass(slots=True)
class _Request:
    process: Process
    asked: Asked
    decision: Decision
    since: float


class Underway:
    """`well_for`: how long a process and what it needs have been well, in seconds."""

    def __init__(
        self,
        scheduler: Scheduler,
        random: Random,
        database: Database,
        judge: Judge,
        max_staleness: float,
        well_for: Callable[[Process], float],
    ) -> None:
        self.revoked = 0
        self._scheduler = scheduler
        self._random = random
        self._database = database
        self._judge = judge
        self._bound = max_staleness * 1.02 + SLACK + TOLERANCE
        self._well_for = well_for
        self._requests: dict[int, _Request] = {}

    def begin(self, process: Process, asked: Asked, decision: Decision) -> None:
        """A decision; some of those that let through are followed by a long upload or answer."""
        if not decision.forward or decision.identity is None or self._random.random() >= SHARE:
            return
        self._requests[asked.number] = _Request(process, asked, decision, self._scheduler.now)
        self._scheduler.after(self._random.uniform(0.0, LONGEST), lambda: self._end(asked.number))

    def changed(self, process: Process, keys: Collection[EntityKey] | None) -> None:
        """As the byte path does: what rests on what has changed is decided again."""
        for number, request in tuple(self._requests.items()):
            if request.process is process:
                sub = request.asked.sub
                if keys is None or any(key.kind == "group" or key.key == sub for key in keys):
                    process.reconsider(request.decision, partial(self._found, number))

    def _found(self, number: int, decision: Decision) -> None:
        request = self._requests.get(number)
        if request is not None and decision.revoking:
            del self._requests[number]
            self.revoked += 1
            self._judge.revoked(request.process, request.asked, decision)

    def _end(self, number: int) -> None:
        """It has come to its own end: was it still allowed, some moments ago?"""
        request = self._requests.pop(number, None)
        if request is None or not request.process.running:
            return
        process, now = request.process, self._scheduler.now
        since = now - self._bound
        if since <= max(request.since, process.ruled_at) or self._well_for(process) < self._bound:
            return
        nodes = self._database.between(since, now)
        if not any(self._judge.allowed(process, request.asked, node) for node in nodes):
            self._judge.went_on(process.name, request.asked, self._bound)
