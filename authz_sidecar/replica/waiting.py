"""The waiting room: what a decision waits for when it cannot be made at once.

Two things can be missing.

*Entities* that the near cache does not hold. They are read from the store. What a usable copy lacks, or all
of it where no copy is usable, is asked of the User service, which knows for certain what does not exist.
Whatever comes is admitted at exactly one position: if it is newer than where this process stands, the
process catches up first, unless the User service knows of no such revision; if it is older, the near cache
lays the changes in between over it, or refuses it.

*A revision*, because the request names a newer one. The subscription usually delivers it within a moment;
only then is the feed asked. A question that was sent after the request came settles what the revision is:
on its way here, beyond the head, or of another history.

Three rules keep the room from becoming the place where everything stands still. Nobody waits without a
bound. Those who wait for the same thing share one call. And there is a limit to how many wait, beyond which
one is told at once that it is not known. Nothing is decided here: whoever has waited decides again from the
beginning.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Hashable, Sequence
from enum import Enum, auto
from functools import partial
from typing import Any, Generic, TypeVar

from authz_sidecar.core.entities import Entity, EntityKey, Position, RevisionToken
from authz_sidecar.core.errors import MalformedMessage, Unavailable
from authz_sidecar.core.ports import Clock
from authz_sidecar.core.replica import ReplicaMachine
from authz_sidecar.replica.dependencies import Dependencies
from authz_sidecar.replica.near_cache import NearCache
from authz_sidecar.replica.store_sync import StoreSync
from authz_sidecar.source import UserServiceClient

FILL_TIMEOUT = 3.0
"""Seconds a request waits for what the near cache lacks."""
BEHIND_TIMEOUT = 2.0
"""Seconds a request waits for the revision it asks for."""
BRIEF = 0.03
"""Seconds in which a subscription usually delivers; only then is the feed asked."""
MAX_WAITING = 1_000
"""Requests that may wait for a revision at once; the rest are refused at once."""
MAX_WAITING_OF_ONE = 50
"""Of these, those of one subject: whoever asks for what does not come must not take the places of all."""
MAX_STORE_READS = 1_000
MAX_SUBJECT_CALLS = 1_000
CONCURRENT_SUBJECT_CALLS = 16

T = TypeVar("T")


class Arrival(Enum):
    """What became of a revision that was waited for."""

    HERE = auto()
    LATE = auto()
    """It has not come in time, or could not be asked for."""
    BEYOND_HEAD = auto()
    """There is no such revision yet."""
    OTHER_HISTORY = auto()


class Waiting:
    """`pull` asks for a pull that is sent from now on; whoever moves the replica calls `moved`."""

    def __init__(
        self,
        machine: ReplicaMachine,
        near: NearCache,
        store_sync: StoreSync,
        user_service: UserServiceClient,
        dependencies: Dependencies,
        clock: Clock,
        pull: Callable[[], None],
    ) -> None:
        self._machine = machine
        self._near = near
        self._store_sync = store_sync
        self._user_service = user_service
        self._dependencies = dependencies
        self._clock = clock
        self._pull = pull
        self._moved = asyncio.Event()
        self._waiting = 0
        self._waiting_of: Counter[str] = Counter()
        self._confirmed_at = float("-inf")
        """The newest question by which the User service has confirmed where we stand was sent then."""
        self._store_reads: SingleFlight[bool] = SingleFlight(MAX_STORE_READS)
        self._subject_calls: SingleFlight[bool] = SingleFlight(MAX_SUBJECT_CALLS)
        self._call_slots = asyncio.Semaphore(CONCURRENT_SUBJECT_CALLS)

    def moved(self, confirmed_at: float | None = None) -> None:
        """Wake everybody: the replica has moved, or a question sent at `confirmed_at` confirmed its place."""
        if confirmed_at is not None:
            self._confirmed_at = max(self._confirmed_at, confirmed_at)
        self._moved.set()
        self._moved.clear()

    # Entities

    async def for_entities(self, keys: tuple[EntityKey, ...], sub: str) -> bool:
        """Fetch these entities of the user `sub`. Whether they are at hand now, known absences included."""
        try:
            async with asyncio.timeout(FILL_TIMEOUT):
                return await self._store_reads.call(
                    keys, partial(self._from_store, keys)
                ) or await self._subject_calls.call(sub, partial(self._from_service, sub))
        except (TimeoutError, Unavailable):
            return False

    async def _from_store(self, keys: tuple[EntityKey, ...]) -> bool:
        """Whether everything was there."""
        reading = await self._store_sync.read(keys)
        if reading is None:
            return False
        found = [entity for entity in reading.entities if entity is not None]
        read_at, here = reading.copy.position, self._near.position
        if here is None or read_at.epoch != here.epoch:
            self._store_sync.forget_copy()
            return False
        if await self._is_beyond_head(read_at.revision):
            self._store_sync.doubt_copy()
            return False
        if not await self.reached(read_at.revision, FILL_TIMEOUT):
            return False
        return self._admit(found, read_at) and len(found) == len(keys)

    async def _from_service(self, sub: str) -> bool:
        try:
            async with self._call_slots:
                answer = await self._user_service.subject(sub)
        except (Unavailable, MalformedMessage) as error:
            self._dependencies.report("user_service", False, str(error))
            return False
        self._dependencies.report("user_service", True)
        # Only an answer that lies on our own history shows that both are of the same branch of the epoch.
        if not await self.reached(answer.position.revision, FILL_TIMEOUT):
            return False
        if self._admit(answer.entities, answer.position):
            return True
        return await self.confirmed(self._clock.monotonic(), FILL_TIMEOUT)

    def _admit(self, found: Sequence[Entity], read_at: Position) -> bool:
        if self._near.admit(found, read_at):
            return True
        self._store_sync.notify()  # the store may be too far behind
        return False

    # A revision

    async def for_revision(self, wanted: RevisionToken, asked_at: float, sub: str) -> Arrival:
        """Wait until `wanted` is applied, or a question sent after `asked_at` shows that it cannot be.

        `sub` is the user who asks.
        """
        if self._waiting_of[sub] >= MAX_WAITING_OF_ONE:
            return Arrival.LATE
        self._waiting_of[sub] += 1
        try:
            return await self._arrival(wanted, asked_at)
        finally:
            self._waiting_of[sub] -= 1
            if not self._waiting_of[sub]:
                del self._waiting_of[sub]

    async def _arrival(self, wanted: RevisionToken, asked_at: float) -> Arrival:
        if self._of_our_epoch(wanted) and await self._heard(wanted.revision):
            return Arrival.HERE
        if not await self.confirmed(asked_at, BEHIND_TIMEOUT):
            return Arrival.LATE
        if not self._of_our_epoch(wanted):
            return Arrival.OTHER_HISTORY
        if wanted.revision > (self._machine.head or 0):
            return Arrival.BEYOND_HEAD
        return Arrival.HERE if await self.reached(wanted.revision, BEHIND_TIMEOUT) else Arrival.LATE

    def _of_our_epoch(self, wanted: RevisionToken) -> bool:
        position = self._machine.applied
        return position is not None and position.epoch[:8] == wanted.epoch8

    async def _heard(self, revision: int) -> bool:
        """Wait for the subscription to bring `revision`, as long as it usually takes."""
        if self._is_applied(revision):
            return True
        if not self._machine.proofs.hears_broker(self._clock.monotonic()):
            return False
        return await self._until(lambda: self._is_applied(revision), BRIEF)

    async def reached(self, revision: int, timeout: float) -> bool:  # noqa: ASYNC109 (a bound, with an answer)
        """Wait until `revision` of the present epoch is applied: first for the subscription, then pull."""
        if await self._heard(revision):
            return True
        self._pull()
        return await self._until(lambda: self._is_applied(revision), timeout)

    async def _is_beyond_head(self, revision: int) -> bool:
        """Whether a copy was led where nothing leads any more: asked from now on, nobody knows `revision`."""
        if await self._heard(revision):
            return False
        asked_at = self._clock.monotonic()
        self._pull()
        await self._until(lambda: self._is_applied(revision) or self._confirmed_at >= asked_at, FILL_TIMEOUT)
        return self._confirmed_at >= asked_at and revision > (self._machine.head or 0)

    def _is_applied(self, revision: int) -> bool:
        position = self._machine.applied
        return position is not None and position.revision >= revision

    async def confirmed(self, since: float, timeout: float) -> bool:  # noqa: ASYNC109 (a bound, with an answer)
        """Wait until a question sent to the User service after `since` has confirmed where we stand."""
        if self._confirmed_at < since:
            self._pull()
        return await self._until(lambda: self._confirmed_at >= since, timeout)

    async def _until(self, condition: Callable[[], bool], timeout: float) -> bool:  # noqa: ASYNC109
        if condition():
            return True
        if self._waiting >= MAX_WAITING:
            return False
        self._waiting += 1
        try:
            async with asyncio.timeout(timeout):
                while not condition():
                    await self._moved.wait()
        except TimeoutError:
            return condition()
        finally:
            self._waiting -= 1
        return True


class SingleFlight(Generic[T]):
    """Concurrent calls for the same thing share one. At most `limit` at once; more raise `Unavailable`."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._flights: dict[Hashable, asyncio.Task[T]] = {}

    async def call(self, key: Hashable, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The result of `work`, or of the call for `key` that is under way. Outlives a cancelled caller."""
        flight = self._flights.get(key)
        if flight is None:
            if len(self._flights) >= self._limit:
                raise Unavailable("too many reads are under way")
            flight = self._flights[key] = asyncio.create_task(work())
            flight.add_done_callback(lambda _flight: self._flights.pop(key))
        return await asyncio.shield(flight)
