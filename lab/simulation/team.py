"""A sidecar of several processes: one follows the User service and feeds those that decide.

What the supervisor does is done here: who ends is replaced, after a while if it has ended soon, and a
follower that is silent is ended.
"""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

from authz_sidecar.core.verdicts import RequestHead
from authz_sidecar.workers.restarts import Restarts
from lab.simulation.process import FOLLOWER, Process, Told
from lab.simulation.sidecar import Sidecar
from lab.simulation.wires import Peer, Wire


class Team(Sidecar):
    """`process` is none of its own: requests go to any worker."""

    _life = 0
    """How often all of it was ended at once."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._members: dict[int, Process] = {}
        self._begun: Counter[int] = Counter()
        self._restarts: dict[int, Restarts] = {}
        self._started_at: dict[int, float] = {}

    @property
    def _roles(self) -> range:
        return range(self.setup.workers + 1)

    @property
    def wanted(self) -> list[Process | None]:
        return [self._members.get(role) for role in self._roles]

    @property
    def running(self) -> list[Process]:
        return list(self._members.values())

    def start(self) -> None:
        if not self._members:
            self._restarts = {role: Restarts() for role in self._roles}
            for role in self._roles:
                self._start(role)

    def _start(self, role: int) -> None:
        self._begun[role] += 1
        name = f"{self.name}'s follower" if role == FOLLOWER else f"{self.name}'s worker {role}"
        if self._begun[role] > 1:
            name += f", process {self._begun[role]}"
        self._members[role] = Process(self, name, role)
        self._started_at[role] = self.scheduler.now

    def kill(self) -> None:
        self._life += 1
        self._dead += tuple(self._members.values())
        for process in self._members.values():
            process.kill()
        self._members.clear()
        super().kill()

    def end(self, role: int, *, silent: bool = False) -> None:
        """One process is killed, and replaced."""
        process, life = self._members.pop(role, None), self._life
        if process is None:
            return
        process.kill()
        self._dead += (process,)

        def again() -> None:
            if life == self._life:
                self._start(role)

        due = self._restarts[role].ended(self.scheduler.now, self._started_at[role], silent=silent)
        self.scheduler.at(due, again)

    def freeze(self, role: int) -> Process | None:
        """One process does nothing, until `thaw`. A follower's silence is not borne for long."""
        process = self._members.get(role)
        if process is not None:
            process.loop.pause()
            if role == FOLLOWER:
                patience = self._restarts[role].patience
                self.scheduler.after(patience, lambda: self._silent(process))
        return process

    def _silent(self, process: Process) -> None:
        if self._members.get(FOLLOWER) is process and process.loop.paused:
            self.end(FOLLOWER, silent=True)

    def hand_over(self, seconds: float) -> None:
        """Not by itself: all that it consists of would."""

    # What is asked of it

    def _worker(self, random: Random) -> Process | None:
        workers = [process for role, process in self._members.items() if role != FOLLOWER]
        return random.choice(workers) if workers else None

    def accept(self, peer: Peer, random: Random) -> Wire | None:
        worker = self._worker(random)
        return None if worker is None else worker.accept(peer, random)

    def ask(self, head: RequestHead, request_id: str, told: Told) -> None:
        worker = self._worker(self.random)
        if worker is not None:
            worker.ask(head, request_id, told)
