"""One sidecar's host and its processes, one after another: started, killed, paused, started again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from functools import partial
from random import Random
from typing import Protocol

from authz_sidecar.core.entities import EntityKey, Position
from authz_sidecar.core.ports import SilentObserver
from authz_sidecar.core.verdicts import Answered, Decision, Failure, RequestHead
from authz_sidecar.pipeline import Undecided
from lab.simulation import joints
from lab.simulation.broker import Broker, BrokerConnection, connect
from lab.simulation.clocks import HostClock
from lab.simulation.http import Request, Session
from lab.simulation.links import Link
from lab.simulation.plan import Setup
from lab.simulation.scheduler import ProcessLoop, Scheduler
from lab.simulation.store import StoreClient, StoreServer
from lab.simulation.upstream import Upstream
from lab.simulation.user_service import UserService
from lab.simulation.wires import Peer, Wire

DEPENDENCIES = ("user_service", "store", "broker")


class Watcher(Protocol):
    """Hears what a sidecar does."""

    def applied(self, sidecar: Sidecar, position: Position) -> None: ...
    def moved(self, sidecar: Sidecar, keys: Collection[EntityKey] | None) -> None: ...
    def called(self, sidecar: Sidecar, request: Request) -> None: ...
    def read(self, sidecar: Sidecar, request: Request) -> None: ...
    def resynced(self, sidecar: Sidecar, cause: str) -> None: ...
    def failed(self, sidecar: Sidecar, error: BaseException) -> None: ...
    def decided(self, sidecar: Sidecar, decision: Decision, waited: bool) -> None: ...


class Sidecar:
    """`parts` is what runs on it now; `None` while it is down."""

    def __init__(
        self,
        index: int,
        setup: Setup,
        scheduler: Scheduler,
        random: Random,
        service: UserService,
        store: StoreServer,
        broker: Broker,
        watcher: Watcher,
    ) -> None:
        self.index = index
        self.name = f"sidecar {index + 1}"
        self.processes = 0
        """How many were started on it."""
        self.clock = HostClock(scheduler)
        self.links = {name: Link(scheduler, random, setup.latency) for name in DEPENDENCIES}
        self.byte_links = {name: Link(scheduler, random, setup.latency) for name in ("clients", "upstream")}
        self.upstream: Upstream | None = None
        """The protected service, in worlds with a byte path."""
        self.byte_path: joints.BytePath | None = None
        self.loop: ProcessLoop | None = None
        self.parts: joints.Parts | None = None
        self.steps = 0
        """Callbacks of all its processes that have ended."""
        self._position: Position | None = None
        self._leapt = False
        self._setup = setup
        self._scheduler = scheduler
        self._random = random
        self._service = service
        self._store = store
        self._broker = broker
        self._watcher = watcher
        self._dead: list[tuple[ProcessLoop, set[asyncio.Task[object]]]] = []

    @property
    def with_broker(self) -> bool:
        return self._setup.with_broker[self.index]

    def start(self) -> None:
        """A new process, which knows nothing but what it finds."""
        loop = ProcessLoop(self._scheduler, self.clock, self._random, self.name)
        loop.owner = self
        self.processes += 1
        self._position, self._leapt = None, False
        loop.set_exception_handler(lambda _loop, context: self._failed(context))
        self.loop = loop
        loop.call_soon(self._build, loop)

    def start_again(self) -> None:
        if self.loop is None:
            self.start()

    def _build(self, loop: ProcessLoop) -> None:
        watcher = self._watcher
        session = Session(
            loop,
            self.links["user_service"],
            self._service,
            partial(watcher.called, self),
            partial(watcher.read, self),
        )
        edges = joints.Edges(
            self.clock,
            session,
            StoreClient(loop, self._store, self.links["store"], self._random),
            _Observer(self, watcher),
        )
        self.parts = joints.build(self._setup, edges, with_broker=self.with_broker)
        self.parts.replica.watch(self._moved)
        if self.upstream is not None:
            loop.dial = partial(self.upstream.connect, loop)
            self.byte_path = joints.byte_path(self._setup, self.parts, self.clock, _Requests(self, watcher))
        loop.spawn(joints.start(self.parts))

    def accept(self, peer: Peer, random: Random) -> Wire | None:
        """A client connects to the proxied port, if anybody listens there."""
        link, loop, byte_path = self.byte_links["clients"], self.loop, self.byte_path
        if loop is None or byte_path is None or link.refuses:
            return None
        wire = Wire(loop, link, random, peer)
        loop.call_soon(lambda: wire.attach(byte_path.server()))
        return wire

    def _moved(self, keys: Collection[EntityKey] | None) -> None:
        """Permissions have changed: as `app.py` has it, what is under way is decided again."""
        self._watcher.moved(self, keys)
        if self.byte_path is not None:
            self.byte_path.server.reconsider(keys)

    async def connect_broker(self) -> BrokerConnection:
        """What the product's subscription calls instead of `aiormq.connect`."""
        if self.loop is None:
            raise AssertionError("only a running process connects")
        return await connect(self.loop, self._broker, self.links["broker"])

    def kill(self) -> None:
        """As `kill -9` does: nothing of it runs any more, and its connections end."""
        loop, self.loop, self.parts, self.byte_path = self.loop, None, None, None
        if loop is None:
            return
        loop.pause()
        self.steps += loop.steps
        self._dead.append((loop, asyncio.all_tasks(loop)))
        for link in (*self.links.values(), *self.byte_links.values()):
            link.reset()

    def pause(self) -> None:
        if self.loop is not None:
            self.loop.pause()

    def resume(self) -> None:
        if self.loop is not None:
            self.loop.resume()
        self._broker_pump()

    def _broker_pump(self) -> None:
        for queue in tuple(self._broker.queues.values()):
            self._broker.pump(queue)

    def ask(self, head: RequestHead, request_id: str, answered: Callable[[Decision, bool], None]) -> None:
        """A request arrives; `answered` is told the decision and whether it had to wait."""
        if self.loop is not None and self.parts is not None:
            self.loop.call_soon(self._decide, self.loop, self.parts, head, request_id, answered)

    def _decide(
        self,
        loop: ProcessLoop,
        parts: joints.Parts,
        head: RequestHead,
        request_id: str,
        answered: Callable[[Decision, bool], None],
    ) -> None:
        found = joints.decide(parts, head, request_id)
        if isinstance(found, Decision):
            answered(found, False)
        else:
            loop.spawn(_answer(found, lambda decision: answered(decision, True)))

    def reconsider(self, decision: Decision, answered: Callable[[Decision], None]) -> None:
        """Permissions have changed: `answered` is told what becomes of a request under way."""
        if self.parts is None or self.loop is None:
            return
        found = joints.reconsider(self.parts, decision)
        if isinstance(found, Decision):
            answered(found)
        else:
            self.loop.spawn(_answer(found, answered))

    # Where it stands: from one revision to the next, or to a snapshot's

    def moved_to(self, position: Position, violation: Callable[[str], None]) -> None:
        """It has applied this revision."""
        before, self._position = self._position, position
        if before is not None and (before.epoch, before.revision + 1) != (position.epoch, position.revision):
            if self._leapt:
                violation(f"{self.name} went from {before.token} to {position.token}")
            self._leapt = True  # to a snapshot, if it is said before anything else happens

    def stands_at(self, position: Position | None) -> None:
        """It says that it has moved to another position, or may no longer decide by the one it has."""
        self._position, self._leapt = position, False

    @property
    def leaping(self) -> bool:
        return self._leapt

    def _failed(self, context: dict[str, object]) -> None:
        error = context.get("exception")
        if isinstance(error, BaseException):
            self._watcher.failed(self, error)

    def bury(self) -> None:
        """After the end: let every task of every process end, unseen."""
        self.kill()
        for loop, _ in self._dead:
            loop.bury()
        self._dead.clear()


class _Observer(SilentObserver):
    """What the replica tells its hooks."""

    def __init__(self, sidecar: Sidecar, watcher: Watcher) -> None:
        self._sidecar = sidecar
        self._watcher = watcher

    def applied(self, position: Position, propagation: float | None) -> None:
        self._watcher.applied(self._sidecar, position)

    def resync(self, cause: str) -> None:
        self._watcher.resynced(self._sidecar, cause)


class _Requests:
    """What the byte path tells its hooks."""

    def __init__(self, sidecar: Sidecar, watcher: Watcher) -> None:
        self._sidecar = sidecar
        self._watcher = watcher

    def decided(self, decision: Decision, seconds: float) -> bool:
        self._watcher.decided(self._sidecar, decision, seconds > 0.0)
        return True

    def failed(self, failure: Failure) -> None:
        """The client is told, and judges."""

    def answered(self, answered: Answered) -> None:
        """As before."""

    def retried(self, request_id: str) -> None:
        """The service is asked a second time, and judges."""


async def _answer(undecided: Undecided, answered: Callable[[Decision], None]) -> None:
    answered(await undecided())
