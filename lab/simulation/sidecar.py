"""One sidecar: its processes, one after another; while one hands over to the next, two at once."""

from __future__ import annotations

from random import Random

from authz_sidecar.core.verdicts import RequestHead
from lab.simulation.joints.parts import Parts
from lab.simulation.process import Host, Process, Told
from lab.simulation.wires import Peer, Wire


class Sidecar(Host):
    """`process` is the one that is asked; `None` while it is down."""

    process: Process | None = None
    _next: Process | None = None
    """It takes over when all is well with it."""
    _leaving: tuple[Process, ...] = ()
    _dead: tuple[Process, ...] = ()
    _count = 0

    @property
    def parts(self) -> Parts | None:
        return None if self.process is None else self.process.parts

    @property
    def wanted(self) -> list[Process | None]:
        """Those that must be there when all is well; `None` for who is not."""
        return [self.process]

    @property
    def running(self) -> list[Process]:
        """All its processes."""
        return [each for each in (self.process, self._next, *self._leaving) if each is not None]

    def start(self) -> None:
        """A new process, which knows nothing but what it finds."""
        if self.process is None:
            self.process = self._new()

    def _new(self) -> Process:
        self._count += 1
        return Process(self, self.name if self._count == 1 else f"{self.name}, process {self._count}")

    def kill(self) -> None:
        """As `kill -9` does: nothing of it runs any more, and its connections end."""
        for process in self.running:
            process.kill()
            self._dead += (process,)
        self.process, self._next, self._leaving = None, None, ()
        for link in (*self.links.values(), *self.byte_links.values()):
            link.reset()

    def pause(self) -> None:
        for process in self.running:
            process.loop.pause()

    def resume(self) -> None:
        for process in self.running:
            process.loop.resume()
        for queue in tuple(self.broker.queues.values()):
            self.broker.pump(queue)

    def reload(self, policy: int) -> None:
        """Another policy is in its file, and it is told to read it."""
        self.policy = policy
        for process in self.running:
            process.reload()

    def hand_over(self, seconds: float) -> None:
        """A new process beside the one that serves: it takes over once it is live, if that is in time."""
        if self.process is None or self._next is not None or self.process.loop.paused:
            return
        process = self._next = self._new()
        process.when_well(seconds, lambda failing: self._took(process, failing))

    def _took(self, process: Process, failing: str) -> None:
        if process is not self._next:
            return  # all were killed meanwhile
        self._next = None
        if failing:
            process.kill()
            self._dead += (process,)
            return
        old, self.process = self.process, process
        if old is not None:
            self._leaving += (old,)
            old.leave(lambda: self._left(old))

    def _left(self, process: Process) -> None:
        self._leaving = tuple(each for each in self._leaving if each is not process)
        process.kill()
        self._dead += (process,)

    # What is asked of it

    def accept(self, peer: Peer, random: Random) -> Wire | None:
        """A client connects to the proxied port, if anybody listens there."""
        return None if self.process is None else self.process.accept(peer, random)

    def ask(self, head: RequestHead, request_id: str, told: Told) -> None:
        """A request arrives, and is refused by nobody while nobody is there."""
        if self.process is not None:
            self.process.ask(head, request_id, told)

    def bury(self) -> None:
        """After the end: let every task of every process end, unseen."""
        self.kill()
        for process in self._dead:
            process.loop.bury()
        self._dead = ()
