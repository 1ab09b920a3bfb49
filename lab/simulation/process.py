"""One process of a sidecar: what runs in it, from its start to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from functools import partial
from random import Random
from typing import Protocol

from authz_sidecar.admin.health import until_well
from authz_sidecar.core.entities import EntityKey, Position
from authz_sidecar.core.ports import SilentObserver
from authz_sidecar.core.verdicts import Answered, Decision, Failure, RequestHead
from authz_sidecar.pipeline import Undecided
from lab.simulation.broker import Broker, BrokerConnection, connect
from lab.simulation.clocks import HostClock
from lab.simulation.http import Request, Session
from lab.simulation.joints import asking
from lab.simulation.joints.byte_path import BytePath, byte_path
from lab.simulation.joints.parts import Edges, Parts, build, build_worker
from lab.simulation.lines import Lines, Rendezvous
from lab.simulation.links import Link
from lab.simulation.plan import Setup
from lab.simulation.scheduler import ProcessLoop, Scheduler
from lab.simulation.store import StoreClient, StoreServer
from lab.simulation.upstream import Upstream
from lab.simulation.user_service import UserService
from lab.simulation.wires import Peer, Wire

DEPENDENCIES = ("user_service", "store", "broker")
FOLLOWER = 0
DRAIN_SECONDS = 30.0
"""A process that leaves cuts off after that what is still under way."""
LAST_SECONDS = 10.0
"""In which questions that nobody waits for any more end by themselves."""

Told = Callable[["Process", Decision, bool], None]
"""A decision of that process, and whether it had to wait."""


class Watcher(Protocol):
    """Hears what the processes do."""

    def applied(self, process: Process, position: Position) -> None: ...
    def moved(self, process: Process, keys: Collection[EntityKey] | None) -> None: ...
    def ruled(self, process: Process) -> None:
        """Another policy is in force."""

    def called(self, process: Process, request: Request) -> None: ...
    def read(self, process: Process, request: Request) -> None: ...
    def resynced(self, process: Process, cause: str) -> None: ...
    def failed(self, process: Process, error: BaseException) -> None: ...
    def left(self, process: Process, behind: int) -> None:
        """It has ended in order; so many of its tasks have not."""

    def decided(self, process: Process, decision: Decision, waited: bool) -> None: ...


class Host:
    """What the processes of one sidecar have in common."""

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
        self.clock = HostClock(scheduler)
        self.links = {name: Link(scheduler, random, setup.latency) for name in DEPENDENCIES}
        self.byte_links = {name: Link(scheduler, random, setup.latency) for name in ("clients", "upstream")}
        self.upstream: Upstream | None = None
        """The protected service, in worlds with a byte path."""
        self.lines = Lines(scheduler, random)
        self.rendezvous = Rendezvous(self.lines)
        self.policy = 0
        """Which of `joints.rules.POLICIES` is in its file."""
        self.setup = setup
        self.scheduler = scheduler
        self.random = random
        self.service = service
        self.store = store
        self.broker = broker
        self.watcher = watcher


class Process:
    """`parts` is what runs in it, as soon as its event loop has begun."""

    def __init__(self, host: Host, name: str, role: int | None = None) -> None:
        """`role`: that of a worker, from 1, or `FOLLOWER`; `None`: there is no other process."""
        self.host = host
        self.name = name
        self._role = role
        self.loop = ProcessLoop(host.scheduler, host.clock, host.random, host.name)
        self.parts: Parts | None = None
        self.byte_path: BytePath | None = None
        self.policy = host.policy
        """Which is in force in it."""
        self.ruled_at = 0.0
        """Since when, in the world's time."""
        self.running = True
        self._position: Position | None = None
        self._leapt = False
        self.loop.owner = self
        self.loop.set_exception_handler(lambda _loop, context: self._failed(context))
        self.loop.call_soon(self._build)

    def _build(self) -> None:
        host = self.host
        self.policy = host.policy
        self.parts = self._worker(self._role) if self._role else self._alone()
        self.parts.watch(self._moved)
        if host.upstream is not None and self._role != FOLLOWER:
            self.loop.dial = partial(host.upstream.connect, self.loop)
            self.byte_path = byte_path(host.setup, self.parts, host.clock, _Requests(self))
        self.loop.spawn(_begin(self.parts))

    def _worker(self, role: int) -> Parts:
        host = self.host
        applied = partial(host.watcher.applied, self)
        return build_worker(host.setup, host.clock, self.policy, role, host.rendezvous, applied)

    def _alone(self) -> Parts:
        """Itself follows the User service, for others, too, if there are any."""
        host, watcher = self.host, self.host.watcher
        heard = partial(watcher.called, self), partial(watcher.read, self)
        edges = Edges(
            host.clock,
            Session(self.loop, host.links["user_service"], host.service, *heard),
            StoreClient(self.loop, host.store, host.links["store"], host.random),
            _Observer(self),
        )
        rendezvous = host.rendezvous if self._role == FOLLOWER else None
        with_broker = host.setup.with_broker[host.index]
        return build(host.setup, edges, self.policy, rendezvous, with_broker=with_broker)

    async def connect_broker(self) -> BrokerConnection:
        """What the product's subscription calls instead of `aiormq.connect`."""
        return await connect(self.loop, self.host.broker, self.host.links["broker"])

    # What is asked of it

    def accept(self, peer: Peer, random: Random) -> Wire | None:
        """A client connects to the proxied port."""
        link, byte_path = self.host.byte_links["clients"], self.byte_path
        if byte_path is None or link.refuses:
            return None
        wire = Wire(self.loop, link, random, peer)
        self.loop.call_soon(lambda: wire.attach(byte_path.server()))
        return wire

    def ask(self, head: RequestHead, request_id: str, told: Told) -> None:
        if self.parts is not None:
            self.loop.call_soon(self._decide, self.parts, head, request_id, partial(told, self))

    def _decide(
        self, parts: Parts, head: RequestHead, request_id: str, told: Callable[[Decision, bool], None]
    ) -> None:
        found = asking.decide(parts, head, request_id)
        if isinstance(found, Decision):
            told(found, False)
        else:
            self.loop.spawn(_answer(found, lambda decision: told(decision, True)))

    def reconsider(self, decision: Decision, told: Callable[[Decision], None]) -> None:
        """Permissions or rules have changed: what becomes of a request under way."""
        if self.parts is None or not self.running:
            return
        found = asking.reconsider(self.parts, decision)
        if isinstance(found, Decision):
            told(found)
        else:
            self.loop.spawn(_answer(found, told))

    def reload(self) -> None:
        """Put into force, between two requests, what its file says by then."""
        self.loop.call_soon(self._reload)

    def _reload(self) -> None:
        if self.parts is not None and self.policy != self.host.policy:
            self.policy, self.ruled_at = self.host.policy, self.host.scheduler.now
            asking.put_into_force(self.parts, self.byte_path, self.policy)
            self.host.watcher.ruled(self)

    def _moved(self, keys: Collection[EntityKey] | None) -> None:
        """Permissions have changed: as `app.py` has it, what is under way is decided again."""
        self.host.watcher.moved(self, keys)
        if self.byte_path is not None:
            self.byte_path.server.reconsider(keys)

    # Its end

    def when_well(self, seconds: float, over: Callable[[str], object]) -> None:
        """Have `over` told what is not well after so many seconds; nothing as soon as all is."""
        self.loop.call_soon(lambda: self.loop.spawn(self._look(seconds, over)))

    async def _look(self, seconds: float, over: Callable[[str], object]) -> None:
        if self.parts is not None:
            over(await until_well(self.parts.checks, seconds))

    def leave(self, over: Callable[[], object]) -> None:
        """A newer one has taken over: serve to its end what was accepted, and stop."""
        self.loop.call_soon(lambda: self.loop.spawn(self._leave(over)))

    async def _leave(self, over: Callable[[], object]) -> None:
        if self.byte_path is not None:
            server = self.byte_path.server
            server.leave()
            await server.emptied(DRAIN_SECONDS)
            server.pre_shutdown()
            await server.shutdown(DRAIN_SECONDS)
        if self.parts is not None:
            await self.parts.stop()
            await asyncio.sleep(LAST_SECONDS)
        self.host.watcher.left(self, self.loop.unspawned)
        over()

    def kill(self) -> None:
        """Nothing of it runs any more."""
        self.running, self.parts, self.byte_path = False, None, None
        self.loop.pause()
        self.host.lines.left(self.loop)

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
            self.host.watcher.failed(self, error)


class _Observer(SilentObserver):
    """What the replica tells its hooks."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def applied(self, position: Position, propagation: float | None) -> None:
        self._process.host.watcher.applied(self._process, position)

    def resync(self, cause: str) -> None:
        self._process.host.watcher.resynced(self._process, cause)


class _Requests:
    """What the byte path tells its hooks."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def decided(self, decision: Decision, seconds: float) -> bool:
        self._process.host.watcher.decided(self._process, decision, seconds > 0.0)
        return True

    def failed(self, failure: Failure) -> None:
        """The client is told, and judges."""

    def answered(self, answered: Answered) -> None:
        """As before."""

    def retried(self, request_id: str) -> None:
        """The service is asked a second time, and judges."""


async def _begin(parts: Parts) -> None:
    await parts.start()


async def _answer(undecided: Undecided, told: Callable[[Decision], None]) -> None:
    told(await undecided())
