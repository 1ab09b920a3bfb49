"""Requests that were let through and are still under way: they end when what let them through is revoked."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from random import Random

from authz_sidecar.core.entities import EntityKey
from authz_sidecar.core.verdicts import Decision
from lab.simulation.history import Database
from lab.simulation.judge import TOLERANCE, Asked, Judge
from lab.simulation.scheduler import Scheduler
from lab.simulation.sidecar import Sidecar

LONGEST = 30.0
"""Seconds a request is under way, at most."""
SLACK = 4.0
"""Seconds that the news of a revocation and its reconsideration may take beyond the bound of staleness."""
SHARE = 0.1
"""Of the requests, those that take long."""


@dataclass(slots=True)
class _Request:
    sidecar: Sidecar
    asked: Asked
    decision: Decision
    incarnation: object
    since: float


class Underway:
    """`well_for`: how long a sidecar and what it needs have been well, in seconds."""

    def __init__(
        self,
        scheduler: Scheduler,
        random: Random,
        database: Database,
        judge: Judge,
        max_staleness: float,
        well_for: Callable[[Sidecar], float],
    ) -> None:
        self.revoked = 0
        self._scheduler = scheduler
        self._random = random
        self._database = database
        self._judge = judge
        self._bound = max_staleness * 1.02 + SLACK + TOLERANCE
        self._well_for = well_for
        self._requests: dict[int, _Request] = {}

    def begin(self, sidecar: Sidecar, asked: Asked, decision: Decision) -> None:
        """A decision; some of those that let through are followed by a long upload or answer."""
        if not decision.forward or decision.identity is None or self._random.random() >= SHARE:
            return
        self._requests[asked.number] = _Request(sidecar, asked, decision, sidecar.loop, self._scheduler.now)
        self._scheduler.after(self._random.uniform(0.0, LONGEST), lambda: self._end(asked.number))

    def changed(self, sidecar: Sidecar, keys: Collection[EntityKey] | None) -> None:
        """As the byte path does: what rests on what has changed is decided again."""
        for number, request in tuple(self._requests.items()):
            if request.sidecar is sidecar and request.incarnation is sidecar.loop:
                sub = request.asked.sub
                if keys is None or any(key.kind == "group" or key.key == sub for key in keys):
                    sidecar.reconsider(request.decision, partial(self._found, number))

    def _found(self, number: int, decision: Decision) -> None:
        request = self._requests.get(number)
        if request is not None and decision.revoking:
            del self._requests[number]
            self.revoked += 1
            self._judge.revoked(request.sidecar.name, request.asked, decision)

    def _end(self, number: int) -> None:
        """It has come to its own end: was it still allowed, some moments ago?"""
        request = self._requests.pop(number, None)
        if request is None or request.incarnation is not request.sidecar.loop:
            return  # its process is no more
        now, since = self._scheduler.now, self._scheduler.now - self._bound
        if since <= request.since or self._well_for(request.sidecar) < self._bound:
            return
        nodes = self._database.between(since, now)
        if not any(self._judge.allowed(request.asked, node) for node in nodes):
            self._judge.went_on(request.sidecar.name, request.asked, self._bound)
