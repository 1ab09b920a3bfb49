"""Keeps the store where this process stands, whatever happens to it.

This process always moves first: a revocation holds here even while the store hangs. Several processes
may share the store; whoever writes a revision first wins, and the others' writes are duplicates.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress

from authz_sidecar.core.entities import Change, Entity, EntityKey, Position
from authz_sidecar.core.errors import (
    HistoryGone,
    MalformedMessage,
    StoreUnavailable,
    Unavailable,
)
from authz_sidecar.core.ports import ReplicaObserver
from authz_sidecar.replica.dependencies import Dependencies
from authz_sidecar.replica.near_cache import NearCache
from authz_sidecar.replica.store import Copy, Outcome, Reading, Store
from authz_sidecar.source import UserServiceClient

BATCH = 1_000
CHECK_INTERVAL = 5.0
"""Seconds after which the store is looked at though nothing has happened."""
FIRST_RETRY, LAST_RETRY = 0.1, 2.0
AFTER_LOAD, AFTER_FAILED_LOAD = 10.0, 60.0
"""Seconds from one load of the store to the next, by all who share it: however many start at once, one of
them has the turn. It takes it for the longer time, and gives it back when the load has ended well: a store
that takes no copy costs the User service one snapshot a minute, and not one for each process. What was
loaded twice and lost counts as failed: that store takes everything and keeps nothing.
"""

logger = logging.getLogger(__name__)


class StoreSync:
    """`verify_position` is called when the store shows that this process may stand on an ended history."""

    def __init__(
        self,
        store: Store,
        user_service: UserServiceClient,
        near: NearCache,
        dependencies: Dependencies,
        observer: ReplicaObserver,
        verify_position: Callable[[], None],
    ) -> None:
        self._store = store
        self._user_service = user_service
        self._near = near
        self._dependencies = dependencies
        self._observer = observer
        self._verify_position = verify_position
        self._wake = asyncio.Event()
        self._copy: Copy | None = None
        """Where the store was last seen; `None` makes the next round look."""
        self._trusted: str | None = None
        """The generation last known to be of our history."""
        self._confirmed: str | None = None
        """The generation that the User service last confirmed."""
        self._doubted = False
        """Whether it may be ahead of us because it has gone another way: the User service knows."""
        self._failures = 0
        self._load_due = float("-inf")
        """Before that the store is not loaded again, though it may have forgotten whose turn it is."""
        self._loaded_at = float("-inf")
        """When the last load began that ended well."""
        self._turn_seen_at = float("-inf")
        """When somebody, this process or another, was last known to load."""

    @property
    def position(self) -> Position | None:
        """Where the usable copy was last seen to stand."""
        copy = self._copy
        return copy.position if copy is not None and copy.generation == self._trusted else None

    def notify(self) -> None:
        """This process has moved, or a read found the store behind."""
        self._wake.set()

    def forget_copy(self) -> None:
        """What was known about the store is no longer so."""
        self._copy = None
        self._wake.set()

    def doubt_copy(self) -> None:
        """It stands where our history does not lead."""
        self._doubted = True
        self.forget_copy()

    async def run(self) -> None:
        while True:
            await self._sleep()
            try:
                while await self._advance():
                    pass
                self._succeeded()
            except (Unavailable, MalformedMessage, HistoryGone) as error:
                await self._pause(error)

    async def _sleep(self) -> None:
        try:
            async with asyncio.timeout(CHECK_INTERVAL):
                await self._wake.wait()
        except TimeoutError:
            self._copy, self._doubted = None, True  # look whether it is still there, and still of our history
        self._wake.clear()

    async def read(self, keys: Sequence[EntityKey]) -> Reading | None:
        """Entities of the copy, wherever it stands; `None` when there is no usable one now."""
        if self._dependencies.up.get("store") is False:
            return None  # `run` finds out when it is back
        try:
            reading = await self._store.read(keys)
        except StoreUnavailable as error:
            self._dependencies.report("store", False, str(error))
            self.forget_copy()
            return None
        if reading is None:
            self.forget_copy()
        return reading

    async def current(self) -> Copy | None:
        """The store's copy, whether or not it can be used; `None` too when the store cannot be asked."""
        try:
            copy = await self._store.current()
        except StoreUnavailable as error:
            self._dependencies.report("store", False, str(error))
            return None
        self._dependencies.report("store", True)
        return copy

    def adopt(self, copy: Copy | None) -> None:
        """Read from this copy from now on; it stands where this process stands."""
        self._copy = copy
        self._trusted = None if copy is None else copy.generation
        self._confirmed, self._doubted = self._trusted, False
        self._wake.set()

    async def _advance(self) -> bool:
        """One step towards our own position; `False` when there is nothing more to do for now."""
        history = self._near.history
        if history is None:
            return False
        if self._copy is None:
            self._copy = await self._store.current()
        copy = self._copy
        if copy is None:
            return await self._reload("store_empty", None)
        changes = history.after(copy.position)
        if changes is not None:
            self._trusted, self._doubted = copy.generation, False
            return not await self._write(copy, changes)
        if self._is_ahead(copy, history.end):
            return False
        return await self._follow_feed(copy)

    def _is_ahead(self, copy: Copy, end: Position) -> bool:
        """Another process has written what this one has yet to hear."""
        known = copy.generation in (self._trusted, self._confirmed) and not self._doubted
        return known and copy.position.epoch == end.epoch and copy.position.revision > end.revision

    async def _write(self, copy: Copy, changes: Sequence[Change]) -> bool:
        """Whether the store has all of these changes now. If not, it is not where it was seen."""
        history, position = self._near.history, copy.position
        for change in changes:
            if self._near.history is not history:  # we have left the one that led here
                self._copy = None
                return False
            outcome = await self._store.apply(copy.generation, position, change)
            if outcome in (Outcome.GAP, Outcome.NOT_CURRENT):
                self._copy = None
                return False
            position = change.position
            self._copy = Copy(copy.generation, position)
        return True

    async def _follow_feed(self, copy: Copy) -> bool:
        """The store stands where our own history does not reach: bring it on, or replace it."""
        try:
            async with self._user_service.changes(copy.position) as stream:
                self._confirmed, self._doubted = copy.generation, False
                changes = [change async for change in stream.changes]
        except HistoryGone:
            return await self._reload("store_gone", copy.generation)
        if changes:
            await self._write(copy, changes)
            return True
        self._verify_position()  # it is at the head by another way than ours: is ours the live history?
        return False

    async def _reload(self, cause: str, replaces: str | None) -> bool:
        """Load a snapshot into a new generation and switch to it. `False`: not now."""
        now = asyncio.get_running_loop().time()
        if now < self._load_due:
            return False
        self._copy = None
        if not await self._store.claim(AFTER_FAILED_LOAD):
            self._turn_seen_at = now
            return False
        generation = await self._store.stage()  # no snapshot is asked for before the store can take it
        self._observer.resync(cause)
        self._load_due = now + AFTER_FAILED_LOAD
        copy = await self._load(generation, replaces)
        if now - self._loaded_at >= AFTER_FAILED_LOAD:
            self._load_due = now + AFTER_LOAD
        loses_them = cause == "store_empty" and now - self._turn_seen_at < AFTER_FAILED_LOAD
        if not loses_them:
            await self._store.release(AFTER_LOAD)
        self._loaded_at = self._turn_seen_at = now
        self._copy = copy
        return True

    async def _load(self, generation: str, replaces: str | None) -> Copy | None:
        """`None` when another process has put a copy in place that must stay."""
        switched = False
        try:
            async with self._user_service.snapshot() as snapshot:
                async for batch in _batches(snapshot.entities):
                    await self._store.fill(generation, batch)
            switched = await self._store.switch(generation, snapshot.position, replaces)
        finally:
            if not switched:
                with suppress(StoreUnavailable):
                    await self._store.discard(generation)
        if not switched:
            return None
        self._confirmed = generation
        return Copy(generation, snapshot.position)

    def _succeeded(self) -> None:
        self._failures = 0
        if self._near.history is not None:  # before there is a place to stand, nothing was asked
            self._dependencies.report("store", True)

    async def _pause(self, error: Exception) -> None:
        self._copy = None
        if isinstance(error, StoreUnavailable):
            self._dependencies.report("store", False, str(error))
        else:
            self._dependencies.report("store", True)
            logger.warning("the store cannot be brought up to date: %s", error)
        if isinstance(error, MalformedMessage):
            self._observer.rejected(str(error))
        delay = min(FIRST_RETRY * 2**self._failures, LAST_RETRY)
        self._failures = min(self._failures + 1, 10)
        await asyncio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311 (jitter)
        self._wake.set()


async def _batches(entities: AsyncIterator[Entity]) -> AsyncIterator[list[Entity]]:
    batch: list[Entity] = []
    async for entity in entities:
        batch.append(entity)
        if len(batch) == BATCH:
            yield batch
            batch = []
    yield batch
