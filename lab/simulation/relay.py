"""The relay: publishes the log in order, and a heartbeat every second."""

from __future__ import annotations

from random import Random
from typing import Any

from lab.simulation.broker import Broker
from lab.simulation.history import dumps
from lab.simulation.scheduler import Scheduler
from lab.simulation.user_service import UserService

HEARTBEAT_SECONDS = 1.0
BATCH = 100
PAUSE = 0.5


class Relay:
    """Several may run at once. `stopped` and `lag` are what can be wrong with it."""

    def __init__(self, scheduler: Scheduler, random: Random, service: UserService, broker: Broker) -> None:
        self.stopped = False
        self.lag = 0.0
        """Seconds it stands still between looking at the log and publishing."""
        self._scheduler = scheduler
        self._random = random
        self._service = service
        self._broker = broker
        self._beat_due = 0.0
        self._due = 0.0
        self._busy = False
        service.database.committed.append(lambda _: self._notified())
        scheduler.after(random.random(), self._step)

    def retire(self) -> None:
        self.stopped = True

    def _notified(self) -> None:
        """A commit wakes it up."""
        if not self._busy and not self.stopped:
            self._busy = True
            self._scheduler.after(self._random.uniform(0.001, 0.02), self._work)

    def _step(self) -> None:
        if not self.stopped and not self._busy and self._scheduler.now >= self._due:
            self._busy = True
            self._work()
        self._scheduler.after(HEARTBEAT_SECONDS * 0.25, self._step)

    def _work(self) -> None:
        clocks = self._service.clocks()
        now = clocks.pop("now")
        complete = self._service.sequence()
        if self.lag:
            self._scheduler.after(self.lag, lambda: self._publish(now, clocks, complete=complete))
        else:
            self._publish(now, clocks, complete=complete)

    def _publish(self, now: str, clocks: dict[str, Any], *, complete: bool) -> None:
        self._busy = False
        if self.stopped or self._service.closed or not self._publish_new():
            self._due = self._scheduler.now + PAUSE
            return
        database = self._service.database
        if complete and self._scheduler.now >= self._beat_due:
            self._beat_due = self._scheduler.now + HEARTBEAT_SECONDS
            head = database.head
            beat = {"v": 1, "type": "heartbeat", "epoch": head.epoch, "revision": head.revision}
            self._broker.publish(dumps(beat | clocks | {"revision_at": head.at, "at": now}))

    def _publish_new(self) -> bool:
        database = self._service.database
        while following := database.after(database.cursor)[:BATCH]:
            for node in following:
                if node.revision > database.cursor:
                    if not self._broker.publish(node.line()):
                        return False
                    database.cursor = node.revision
        return True
