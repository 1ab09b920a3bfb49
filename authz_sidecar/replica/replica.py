"""Keeps this process's copy of the permissions at the head: the I/O around `core.replica`.

Messages from the broker are applied the moment they arrive. One task does what the state machine asks
for, one thing at a time; another keeps the store up to date.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from math import isfinite
from types import MappingProxyType

from authz_sidecar.config.table import ReplicaSettings
from authz_sidecar.core import naming
from authz_sidecar.core.entities import Change, EntityKey
from authz_sidecar.core.errors import HistoryGone, MalformedMessage, Unavailable
from authz_sidecar.core.naming import Fields
from authz_sidecar.core.ports import Clock, ReplicaObserver, ReplicaStatus
from authz_sidecar.core.replica import ReplicaMachine
from authz_sidecar.core.steps import Apply, AskHead, Effect, Ignore, Pull, Resync, Wait
from authz_sidecar.core.wire import parse_message
from authz_sidecar.replica.dependencies import Dependencies
from authz_sidecar.replica.drift import DriftCheck
from authz_sidecar.replica.near_cache import NearCache
from authz_sidecar.replica.store import Copy, Store
from authz_sidecar.replica.store_sync import StoreSync
from authz_sidecar.replica.subscription import State, Subscription
from authz_sidecar.replica.waiting import Waiting
from authz_sidecar.source import Confirmation, UserServiceClient

RESTART_DELAY = 1.0

logger = logging.getLogger(__name__)


class Replica:
    """Start it, and it follows the User service until it is stopped.

    Decisions read `near` and `proofs`, and wait in `waiting`.
    """

    def __init__(
        self,
        settings: ReplicaSettings,
        user_service: UserServiceClient,
        store: Store,
        clock: Clock,
        observer: ReplicaObserver,
        user_fields: Collection[str] = (),
    ) -> None:
        """`user_fields`: by which issuers name users."""
        self._settings = settings
        self._user_fields = user_fields
        self._told_fields: Fields = None
        self._user_service = user_service
        self._clock = clock
        self._observer = observer
        self._machine = machine = ReplicaMachine(
            settings.feed_interval, settings.max_staleness, settings.audit_bound
        )
        self._dependencies = dependencies = Dependencies(observer, clock.monotonic)
        self.now = clock.monotonic
        self.proofs = machine.proofs
        self.near = near = NearCache(settings.near_cache_size)
        self.store_sync = StoreSync(store, user_service, near, dependencies, observer, self._demand)
        self.waiting = Waiting(
            machine, near, self.store_sync, user_service, dependencies, clock, self._demand
        )
        self._drift = DriftCheck(store, user_service, near, self.waiting.reached, observer)
        self._subscription: Subscription | None = None
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stale = False
        self._allows = False
        """Whether what lets somebody through is proved to be true still."""
        self._stale_since = 0.0
        self._changed: Callable[[Collection[EntityKey] | None], None] = lambda _: None
        self._proved: Callable[[], None] = lambda: None

    def watch(
        self,
        changed: Callable[[Collection[EntityKey] | None], None],
        proved: Callable[[], None] = lambda: None,
    ) -> None:
        """Have `changed` called with the entities of each move; `None`: any may have changed.

        And `proved` whenever the proof of freshness may be another one.
        """
        self._changed, self._proved = changed, proved

    async def start(self) -> None:
        """Returns at once; dependencies that are down are waited for in the background."""
        self._machine.begin()
        if self._settings.amqp_url is not None:
            self._subscription = Subscription(
                self._settings.amqp_url,
                self.receive,
                self._on_subscription,
                lambda: self._dependencies.up.get("user_service", False),
            )
            self._spawn("subscription", self._subscription.run)
        self._spawn("replica", self._follow)
        self._spawn("staleness", self._watch_staleness)
        self._spawn("store", self.store_sync.run)
        self._spawn("drift", self._drift.run)

    def _spawn(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        self._tasks.add(asyncio.create_task(_for_ever(name, work), name=name))

    async def stop(self) -> None:
        # Again and again: `asyncio.wait_for` of Python 3.11, which libraries use, can swallow a cancellation.
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            _, self._tasks = await asyncio.wait(self._tasks, timeout=0.1)

    def status(self, now: float) -> ReplicaStatus:
        machine = self._machine
        machine.settle(now)
        audit_age = self.proofs.audit_age(now)
        return ReplicaStatus(
            phase=machine.phase,
            was_live=machine.was_live,
            applied=machine.applied,
            head=machine.head,
            staleness=self.proofs.staleness(now),
            fresh=self.proofs.fresh_for(now) >= 0.0,
            store=self.store_sync.position,
            silent_subscription=self._subscription is not None and self._subscription.silent,
            source="broker" if self.proofs.hears_broker(now) else "feed",
            audit_age=audit_age if isfinite(audit_age) else None,
            near_cache_entries=len(self.near),
            dependencies=MappingProxyType(dict(self._dependencies.up)),
            seen=self._dependencies.seen(),
        )

    def _demand(self) -> None:
        self._machine.demand()
        self._wake.set()

    # What arrives

    def receive(self, body: bytes) -> None:
        """A message of the exchange arrived."""
        now = self.now()
        try:
            message = parse_message(body)
        except MalformedMessage as error:
            self._reject(error)
        else:
            if isinstance(message, Change):
                self._execute(self._machine.receive(message, now))
            else:
                self._execute(self._machine.heartbeat(message, now))
                if self._subscription is not None:
                    self._subscription.proved()
                self._proved()
        self._wake.set()

    def _on_subscription(self, state: State, reason: str) -> None:
        self._dependencies.report("broker", state is not State.LOST, reason)
        if state is State.SILENT:
            self._observer.silence()
        self._demand()  # while there was none, messages may have passed us by

    def _reject(self, error: MalformedMessage) -> None:
        logger.warning("a message is not readable and is fetched from the feed instead: %s", error)
        self._observer.rejected(str(error))
        self._machine.malformed()

    def _execute(self, effects: Sequence[Effect]) -> None:
        """Carry out what the state machine decided, before anything else can run."""
        changed: list[EntityKey] = []
        for effect in effects:
            if isinstance(effect, Apply):
                self.near.apply(effect.change)
                self._observer.applied(effect.change.position, self._propagation(effect.change))
                changed += (entity.key for entity in effect.change.entities)
            elif isinstance(effect, Ignore):
                if effect.reason == "duplicate":
                    self._observer.duplicate()
                else:
                    self._observer.foreign_epoch()
        if changed:
            self.waiting.moved()
            self.store_sync.notify()
            self._changed(changed)

    def _propagation(self, change: Change) -> float | None:
        if not self._machine.was_live or change.marked_at is None:
            return None
        return max(0.0, self._clock.wall() - change.marked_at)

    # What is asked for

    async def _follow(self) -> None:
        while True:
            self._wake.clear()
            now = self.now()
            step = self._machine.step(now)
            self._note_staleness(now)
            if isinstance(step, Wait):
                with suppress(TimeoutError):
                    async with asyncio.timeout(max(0.0, step.until - now)):
                        await self._wake.wait()
            else:
                await self._attempt(step)

    async def _watch_staleness(self) -> None:
        """Proof can run out while a question is under way, which may take longer than is left."""
        while True:
            now = self.now()
            self._machine.settle(now)
            self._note_staleness(now)
            left = self.proofs.fresh_for(now)
            if left <= 0.0:
                left = self.proofs.allows_for(now)
            await asyncio.sleep(left + 0.001 if left > 0.0 else 1.0)

    def _note_staleness(self, now: float) -> None:
        """What is under way when proof runs out was decided by what can no longer be proved."""
        was_live, proofs = self._machine.was_live, self.proofs
        allowed, self._allows = self._allows, proofs.allows_for(now) >= 0.0
        if allowed and not self._allows:
            self._changed(None)
        was_stale, self._stale = self._stale, was_live and proofs.fresh_for(now) < 0.0
        if self._stale and not was_stale:
            why, troubles = self._why_stale(now), self._dependencies.troubles()
            then = "a change that it cannot let through is 503" if self._allows else "changes are refused"
            logger.warning("stale: %s, so %s; %s", why, then, troubles)
            self._stale_since = now
        elif was_stale and not self._stale:
            logger.info("fresh again, after %.1f s", now - self._stale_since)

    def _why_stale(self, now: float) -> str:
        age, audit_age = self.proofs.staleness(now), self.proofs.audit_age(now)
        if age is None:
            return "no proof of freshness"
        if age > self._settings.max_staleness:
            return f"the last proof of freshness is {age:.1f} s old"
        if isfinite(audit_age):
            return f"the last audit of the User service's log is {audit_age:.1f} s old"
        return "the User service does not say when it last audited its log"

    async def _attempt(self, step: Pull | Resync | AskHead) -> None:
        try:
            if isinstance(step, Pull):
                await self._pull(step)
            elif isinstance(step, Resync):
                await self._take_position(step.cause)
            else:
                await self._ask_head()
            self._dependencies.report("user_service", True)
        except HistoryGone:
            self._dependencies.report("user_service", True)
            self._machine.history_gone(self.now())
        except MalformedMessage as error:
            logger.warning("User service: %s", error)
            self._observer.rejected(str(error))
            self._fail()
        except Unavailable as error:
            self._dependencies.report("user_service", False, str(error))
            self._fail()

    def _fail(self) -> None:
        self._machine.failed(self.now(), random.uniform(0.5, 1.0))  # noqa: S311 (jitter)

    async def _pull(self, pull: Pull) -> None:
        if pull.cause == "gap":
            self._observer.gap()
        self._machine.pulling(self.now())
        async with self._user_service.changes(pull.after, proof="optional") as stream:
            async for change in stream.changes:
                self._execute(self._machine.receive(change, self.now()))
        if stream.subject_fields not in (None, self._told_fields):  # it says so since it is another version
            raise HistoryGone("the fields by which users are named are others")
        self._machine.pulled(
            stream.head,
            stream.now,
            stream.sent_at,
            self.now(),
            proved=stream.proved,
            audited_at=stream.audited_at,
        )
        self.waiting.moved(confirmed_at=stream.sent_at)
        self._proved()

    async def _ask_head(self) -> None:
        self._machine.asking(self.now())
        self._machine.head_answered(await self._user_service.head(), self.now())

    async def _take_position(self, cause: str) -> None:
        """Stand where the store stands, if the User service can go on from there; else where that stands.

        Then the store is loaded anew by `store_sync`, in its own time: however slow that is, we follow the
        log and decide, and what is missing here is asked for one subject at a time.
        """
        copy = await self.store_sync.current()
        known = await self._user_service.confirm(copy.position) if copy is not None else None
        if known is None:
            self._observer.resync(cause)
            known, copy = await self._user_service.present(), None
        self._stand(known, copy)

    def _stand(self, at: Confirmation, copy: Copy | None) -> None:
        """Move to another position, with everything that hangs on it, in one step."""
        effects = self._machine.restart(at.position, at.head, at.sent_at, self.now(), at.audited_at)
        self._told_fields = at.subject_fields
        self.near.restart(at.position, naming.agreed(at.subject_fields, self._user_fields))
        self.store_sync.adopt(copy)
        self._execute(effects)
        self.waiting.moved(confirmed_at=at.sent_at)
        self._changed(None)
        logger.info("standing at %s", at.position.token)
        if lacking := self.unnamed():
            logger.error("%s: tokens that do are refused with 503 user_field_unknown", lacking)

    def unnamed(self) -> str:
        """What is wrong where issuers name users by fields that the log does not; else empty."""
        return naming.missing(self.near.subject_fields, self._user_fields) if self.near.position else ""


async def _for_ever(name: str, work: Callable[[], Awaitable[None]]) -> None:
    """A mistake of ours must not end a task unnoticed: staleness refuses meanwhile, the next try may do."""
    while True:
        try:
            await work()
        except Exception:
            logger.exception("%s: failed, is started again", name)
        await asyncio.sleep(RESTART_DELAY)
