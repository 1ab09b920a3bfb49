"""The whole world of one plan: who is in it, what they do, and who watches them."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Collection
from hashlib import blake2b

from authz_sidecar.core.entities import EntityKey, Position
from authz_sidecar.core.verdicts import UNBOUNDED, Code, Decision
from lab.simulation.asked import Asked
from lab.simulation.broker import Broker
from lab.simulation.budgets import Budgets
from lab.simulation.byte_judge import ByteJudge
from lab.simulation.cases import SAFE
from lab.simulation.clients import Clients
from lab.simulation.clocks import HostClock
from lab.simulation.history import Database, Transaction
from lab.simulation.http import Request
from lab.simulation.http_clients import HttpClients
from lab.simulation.joints import asking
from lab.simulation.judge import Excuses, Judge, differences
from lab.simulation.keys import Signer
from lab.simulation.plan import Plan, stream
from lab.simulation.population import Administrators, Population
from lab.simulation.process import Host, Process, Told
from lab.simulation.relay import Relay
from lab.simulation.scheduler import ProcessLoop, Scheduler
from lab.simulation.sidecar import Sidecar
from lab.simulation.store import StoreServer
from lab.simulation.team import Team
from lab.simulation.underway import Underway
from lab.simulation.upstream import Upstream
from lab.simulation.user_service import UserService

ENOUGH = 50
"""Connections to the service: nobody waits for one."""

Trouble = tuple[str, ...]
"""What a fault troubles: a part, or a link of one sidecar."""


class World:
    """Implements `process.Watcher`. `tell` hears every event, for stories."""

    def __init__(self, plan: Plan, tell: Callable[[float, str], None] | None = None) -> None:
        seed, setup = plan.seed, plan.setup
        self.plan = plan
        self.setup = setup
        self.violations: list[str] = []
        self.scheduler = Scheduler(stream(seed, "scheduler"))
        self.service_clock = HostClock(self.scheduler)
        self.population = Population(setup, stream(seed, "population"))
        self.database = Database(self.service_clock, stream(seed, "database"), self.population.first())
        self.signer = Signer(stream(seed, "keys"))
        self.service = UserService(
            self.scheduler,
            self.service_clock,
            stream(seed, "service"),
            self.database,
            self.signer,
            setup.changes_limit,
        )
        self.byte_judge = ByteJudge(self.scheduler, self.violation)
        self.broker = Broker(self.scheduler, stream(seed, "broker"), setup.queue_length)
        self.store = StoreServer(self.scheduler, stream(seed, "store"))
        self.relay = self.new_relay("relay")
        self.judge = Judge(self.database, setup, lambda: self.service.audited, self.violation)
        self.budgets = Budgets(self.violation)
        self.sidecars = [self._sidecar(index) for index in range(setup.sidecars)]
        self.administrators = Administrators(
            self.database, self.population, stream(seed, "administrators"), setup, lambda: self.scheduler.now
        )
        self.clients = self._new_clients()
        self.underway = self._new_underway()
        self.http_clients = self._new_http_clients()
        self.faults: Counter[str] = Counter()
        self._paces = stream(seed, "paces")
        self._tell = tell
        self._hash = blake2b(digest_size=16)
        self._troubles: Counter[Trouble] = Counter()
        self._well_since: dict[Trouble, float] = defaultdict(float)
        self._quiet = self._drained = False
        self.database.committed.append(self._committed)

    def _new_http_clients(self) -> HttpClients:
        return HttpClients(
            self.scheduler,
            stream(self.plan.seed, "http clients"),
            self.clients,
            self.byte_judge,
            self._bytes_well_for,
            owed=self.setup.upstream_connections >= ENOUGH,
        )

    def _new_underway(self) -> Underway:
        return Underway(
            self.scheduler,
            stream(self.plan.seed, "underway"),
            self.database,
            self.judge,
            self.setup.max_staleness,
            lambda process: self._excuses(process.host, self.scheduler.now).source,
        )

    def _new_clients(self) -> Clients:
        random = stream(self.plan.seed, "clients")
        return Clients(self.database, self.signer, self.population, self.service_clock, random, self.answered)

    def new_relay(self, name: str) -> Relay:
        return Relay(self.scheduler, stream(self.plan.seed, name), self.service, self.broker)

    def _sidecar(self, index: int) -> Sidecar:
        random = stream(self.plan.seed, f"sidecar {index}")
        parts = self.setup, self.scheduler, random, self.service, self.store, self.broker
        sidecar = (Team if self.setup.workers else Sidecar)(index, *parts, self)
        if self.setup.connections:
            random, link = stream(self.plan.seed, f"upstream {index}"), sidecar.byte_links["upstream"]
            sidecar.upstream = Upstream(self.scheduler, random, link, self.byte_judge)
        return sidecar

    # What goes on by itself

    def start(self) -> None:
        self.service.audit()
        for sidecar in self.sidecars:
            sidecar.start()
            self._pace(self.setup.requests, lambda sidecar=sidecar: self._ask(sidecar))  # type: ignore[misc]  # mypy cannot type defaults of lambdas
            if self.setup.connections:
                self._pace(self.setup.connections, lambda sidecar=sidecar: self._connect(sidecar))  # type: ignore[misc]  # as above
        self._pace(self.setup.writes, self._write)
        self._look_around()

    def _look_around(self) -> None:
        """Every second."""
        self._look_at_store()
        for sidecar in self.sidecars:
            for process in sidecar.running:
                if process.parts is not None:
                    self.budgets.looked_at(process.name, process.loop, process.parts.remembered())
        self.scheduler.after(1.0, self._look_around)

    def _look_at_store(self) -> None:
        """A copy is right at its own position, always."""
        held = self.store.held()
        node = None if held is None else self.judge.node(held[0])
        if held is not None and node is not None:
            for difference in differences(*held, node):
                self.violation(f"the store at {held[0].token}: {difference}")
        elif held is not None:
            self.violation(f"the store stands at {held[0]}, which never was")

    def quieten(self) -> None:
        """Nobody writes any more."""
        self._quiet = True

    def _pace(self, rate: float, action: Callable[[], None]) -> None:
        def again() -> None:
            action()
            self._pace(rate, action)

        self.scheduler.after(self._paces.expovariate(rate), again)

    def _ask(self, sidecar: Sidecar) -> None:
        self.clients.ask(sidecar, self.scheduler.now)

    def _connect(self, sidecar: Sidecar) -> None:
        if not self._drained:
            self.http_clients.connect(sidecar)

    def drain(self) -> None:
        """No further client connects to the byte path."""
        self._drained = True

    def _write(self) -> None:
        if not (self._quiet or self.service.closed or self.administrators.resting):
            self.administrators.commit()

    def _committed(self, transaction: Transaction) -> None:
        self.tell(f"commit {sorted(transaction.states)}")
        if self._paces.random() >= self.setup.lazy_sequencing:
            self.scheduler.after(self._paces.uniform(0.001, 0.02), self.service.sequence)

    # What is watched

    def violation(self, what: str) -> None:
        self.violations.append(f"{self.scheduler.now:.3f} s: {what}")
        self.tell(f"VIOLATION {what}")

    def tell(self, event: str) -> None:
        self._hash.update(b"%r %s\n" % (self.scheduler.now, event.encode()))
        if self._tell is not None:
            self._tell(self.scheduler.now, event)

    def digest(self) -> str:
        """Of everything that happened."""
        return self._hash.hexdigest()

    def decided(self, process: Process, decision: Decision, waited: bool) -> None:
        """On the byte path."""
        case = self.byte_judge.case(decision.request_id)
        if case is None:
            self.violation(f"{process.name} decided {decision.request_id}, which nobody sent")
            return
        self.byte_judge.decided(case, decision)
        if decision.revoking:
            self.tell(f"{process.name} revokes {decision.request_id}: {decision.verdict.code}")
            self.judge.revoked(process, case.asked, decision)
        elif case.method in SAFE:
            self.tell(f"{process.name} lets {decision.request_id} through: {decision.verdict.code}")
            if decision.verdict.code is not Code.SAFE_METHOD:
                self.violation(f"{process.name} decided {case.method}: {decision.verdict.code}")
        else:
            self._decided(process, case.asked, decision, waited)

    def answered(self, asked: Asked) -> Told:
        """Whom to tell of the decision on that request."""

        def told(process: Process, decision: Decision, waited: bool) -> None:
            self._decided(process, asked, decision, waited)
            self.underway.begin(process, asked, decision)

        return told

    def _decided(self, process: Process, asked: Asked, decision: Decision, waited: bool) -> None:
        now, verdict = self.scheduler.now, decision.verdict
        if process.leaping:
            self.violation(f"{process.name} decided in the middle of a leap")
        self.judge.waited += waited
        position = verdict.position
        where = position.token if position else "-"
        self.tell(f"{process.name} request {asked.number} of {asked.sub} {verdict.code} at {where}")
        self.judge.decided(process, asked, decision, now, self._excuses(process.host, now))
        if decision.status == 401 and asked.sub is not None:
            self.clients.refused(asked.sub)
        if not waited:
            self._compare_with_status(process, decision)

    def _compare_with_status(self, process: Process, decision: Decision) -> None:
        """Readiness says whether any decision can be made at this moment; some can be when others cannot."""
        code, wants = decision.verdict.code, decision.requirement
        own_bound = wants is not None and wants.max_staleness != UNBOUNDED
        if process.parts is not None and code in (Code.STALE, Code.PERMISSION_DENIED) and not own_bound:
            fresh = process.parts.fresh()
            if fresh is (code is Code.STALE):
                self.violation(f"{process.name} says fresh={fresh} and decided {code}")

    def applied(self, process: Process, position: Position) -> None:
        self.tell(f"{process.name} applied {position.token}")
        if self.judge.node(position) is None:
            self.violation(f"{process.name} applied {position}, which never was")
        process.moved_to(position, self.violation)

    def moved(self, process: Process, keys: Collection[EntityKey] | None) -> None:
        self.underway.changed(process, keys)
        if keys is None and process.parts is not None:
            position = asking.position(process.parts)
            self.tell(f"{process.name} stands at {position.token if position else None}")
            process.stands_at(position)

    def ruled(self, process: Process) -> None:
        self.tell(f"{process.name} goes by rules {process.policy}")
        self.underway.changed(process, None)

    def called(self, process: Process, request: Request) -> None:
        self.budgets.called(process.host.name, request, self.scheduler.now)

    def read(self, process: Process, request: Request) -> None:
        self.budgets.read(process.name, request, self.scheduler.now, self.store.lives)

    def resynced(self, process: Process, cause: str) -> None:
        self.tell(f"{process.name} resync: {cause}")

    def failed(self, process: Process, error: BaseException) -> None:
        self.violation(f"{process.name} failed: {error!r}")

    def left(self, process: Process, behind: int) -> None:
        self.tell(f"{process.name} has ended in order")
        if behind:
            self.violation(f"{process.name} has ended in order, but for {behind} tasks")

    # What is broken

    def trouble(self, *parts: Trouble) -> None:
        for part in parts:
            self._troubles[part] += 1

    def relieve(self, *parts: Trouble) -> None:
        """It is well again, from now on."""
        for part in parts:
            self._troubles[part] -= 1
            self._well_since[part] = self.scheduler.now

    def shake(self, *parts: Trouble) -> None:
        """Something happened to it that is over at once."""
        for part in parts:
            self._well_since[part] = self.scheduler.now

    def _well_for(self, now: float, parts: list[Trouble]) -> float:
        if any(self._troubles[part] for part in parts):
            return 0.0
        return now - max(self._well_since[part] for part in parts)

    def _excuses(self, host: Host, now: float) -> Excuses:
        name = host.name
        source: list[Trouble] = [("service",), (name,), (name, "user_service")]
        rest: list[Trouble] = [("store",), ("broker",), (name, "store"), (name, "broker")]
        return Excuses(self._well_for(now, source), self._well_for(now, source + rest))

    def _bytes_well_for(self, host: Host) -> float:
        """Of a sidecar, the service behind it, and the ways to both."""
        name = host.name
        return self._well_for(self.scheduler.now, [(name,), (name, "clients"), (name, "upstream")])

    # The joints to the product's modules

    def connect_broker(self) -> object:
        loop = asyncio.get_running_loop()
        if not isinstance(loop, ProcessLoop):
            raise AssertionError("only processes of the world connect")
        process: Process = loop.owner
        return process.connect_broker()

    def bury(self) -> None:
        for sidecar in self.sidecars:
            sidecar.bury()


def finalizer_hooks() -> None:
    """Async generators that are dropped are closed by the loop they ran in, as asyncio has it."""

    def first(generator: object) -> None:
        loops[id(generator)] = asyncio.get_running_loop()

    def finalize(generator: object) -> None:
        loop = loops.pop(id(generator), None)
        if isinstance(loop, ProcessLoop) and not loop.is_closed():
            loop.call_soon(loop.create_task, generator.aclose())  # type: ignore[attr-defined]  # it is an async generator

    loops: dict[int, asyncio.AbstractEventLoop] = {}
    sys.set_asyncgen_hooks(firstiter=first, finalizer=finalize)
