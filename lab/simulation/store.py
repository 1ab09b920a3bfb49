"""The replica store that sidecars share: the semantics of Redis, and what can go wrong with it.

What is written is what the product's own format makes of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from copy import copy as shallow
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeVar

from authz_sidecar.core.documents import decode_state, encode_state
from authz_sidecar.core.entities import Change, Entity, EntityKey, Position
from authz_sidecar.core.errors import StoreUnavailable
from authz_sidecar.replica.store import Copy, Outcome, Reading
from lab.simulation.links import IN, OUT, Connection, Link
from lab.simulation.scheduler import ProcessLoop, Scheduler

TIMEOUT = 1.0
LEASE = 60.0
PART = 10
"""Entities in one part of a scan."""

T = TypeVar("T")


@dataclass(slots=True)
class _Generation:
    entities: dict[EntityKey, Entity] = field(default_factory=dict)
    position: Position | None = None
    expires: float = 0.0
    """When a staged one vanishes."""


class StoreServer:
    """One server. What is wrong with it is in its public attributes."""

    def __init__(self, scheduler: Scheduler, random: Random) -> None:
        self.down = False
        self.frozen = False
        self.read_only = False
        self.slow = 0.0
        """Seconds that every call takes longer."""
        self.fails_before = 0.0
        self.fails_after = 0.0
        """The shares of calls whose answer is an error, without and with their effect."""
        self.lives = 0
        """How often it was given a copy, or has lost everything."""
        self._scheduler = scheduler
        self._random = random
        self._generations: dict[str, _Generation] = {}
        self._current: str | None = None
        self._claimed_until = 0.0

    # What goes wrong

    def flush(self) -> None:
        self._generations, self._current, self._claimed_until = {}, None, 0.0
        self.lives += 1

    def evict(self) -> None:
        """One key is lost: a copy, or the name of the current one."""
        keys: list[str | None] = [*self._generations, None]
        lost = self._random.choice(keys)
        if lost is None:
            self._current = None
        else:
            self._generations.pop(lost)

    def lose_entities(self) -> None:
        held = self._generations.get(self._current or "")
        for key in sorted(held.entities) if held else ():
            if held is not None and self._random.random() < 0.3:
                del held.entities[key]

    def replica(self) -> Callable[[], None]:
        """What a lagging replica holds: call the answer to fail over to it."""
        generations = {name: shallow(held) for name, held in self._generations.items()}
        for held in generations.values():
            held.entities = dict(held.entities)
        current = self._current

        def fail_over() -> None:
            self._generations, self._current = generations, current

        return fail_over

    def fate(self) -> str:
        """What becomes of the next call."""
        draw = self._random.random()
        if draw < self.fails_before:
            return "before"
        return "after" if draw < self.fails_before + self.fails_after else "well"

    def held(self) -> tuple[Position, dict[EntityKey, Entity]] | None:
        """What the current copy holds, for the judge."""
        found = self._usable()
        return None if found is None or found[1].position is None else (found[1].position, found[1].entities)

    # What it can do

    def _usable(self) -> tuple[str, _Generation] | None:
        held = self._generations.get(self._current or "")
        return None if held is None or held.position is None else (self._current or "", held)

    def read(self, keys: Sequence[EntityKey]) -> Reading | None:
        found = self._usable()
        if found is None or found[1].position is None:
            return None
        name, held = found
        return Reading(Copy(name, found[1].position), tuple(held.entities.get(key) for key in keys))

    def apply(self, generation: str, before: Position, change: Change) -> Outcome:
        found = self._usable()
        if found is None or found[0] != generation or found[1].position is None:
            return Outcome.NOT_CURRENT
        held, position, new = found[1], found[1].position, change.position
        if position.epoch == new.epoch and position.revision >= new.revision:
            return Outcome.DUPLICATE
        if position != before or new.revision != before.revision + 1:
            return Outcome.GAP
        self._check_writable()
        _write(held, change.entities)
        held.position = change.position
        return Outcome.APPLIED

    def claim(self, seconds: float) -> bool:
        self._check_writable()
        if self._scheduler.now < self._claimed_until:
            return False
        self._claimed_until = self._scheduler.now + seconds
        return True

    def release(self, seconds: float) -> None:
        self._check_writable()
        self._claimed_until = self._scheduler.now + seconds

    def stage(self, generation: str) -> str:
        self._check_writable()
        self._generations[generation] = _Generation(expires=self._scheduler.now + LEASE)
        return generation

    def fill(self, generation: str, entities: Sequence[Entity]) -> None:
        self._check_writable()
        held = self._staged(generation)
        _write(held, entities)
        held.expires = self._scheduler.now + LEASE

    def switch(self, generation: str, position: Position, replaces: str | None) -> bool:
        self._check_writable()
        found = self._usable()
        if found is not None and found[0] == generation:
            return True
        held = self._staged(generation)
        if found is not None and found[0] != replaces and not _follows(position, found[1].position):
            return False
        held.position = position
        if self._current is not None:
            self._generations.pop(self._current, None)
        self._current = generation
        self.lives += 1
        return True

    def discard(self, generation: str) -> None:
        self._check_writable()
        if generation != self._current:
            self._generations.pop(generation, None)

    def keys(self, generation: str) -> list[EntityKey]:
        held = self._generations.get(generation)
        return list(held.entities) if held else []

    def some(self, generation: str, keys: Sequence[EntityKey]) -> list[Entity]:
        held = self._generations.get(generation)
        return [held.entities[key] for key in keys if held and key in held.entities]

    def repair(self, expected: Copy, entities: Sequence[Entity]) -> bool:
        self._check_writable()
        found = self._usable()
        if found is None or Copy(found[0], found[1].position or expected.position) != expected:
            return False
        _write(found[1], entities)
        return True

    def _staged(self, generation: str) -> _Generation:
        held = self._generations.get(generation)
        if held is None or held.position is not None or held.expires < self._scheduler.now:
            raise StoreUnavailable("the staged copy has vanished")
        return held

    def _check_writable(self) -> None:
        if self.read_only:
            raise StoreUnavailable("Redis: ReadOnlyError")


class StoreClient:
    """One process's client. Implements `authz_sidecar.replica.store.Store`."""

    def __init__(self, loop: ProcessLoop, server: StoreServer, link: Link, random: Random) -> None:
        self._loop = loop
        self._server = server
        self._link = link
        self._random = random

    async def current(self) -> Copy | None:
        reading = await self.read(())
        return None if reading is None else reading.copy

    async def read(self, keys: Sequence[EntityKey]) -> Reading | None:
        return await self._call(lambda: self._server.read(keys))

    async def apply(self, generation: str, before: Position, change: Change) -> Outcome:
        return await self._call(lambda: self._server.apply(generation, before, change))

    async def claim(self, seconds: float) -> bool:
        return await self._call(lambda: self._server.claim(seconds))

    async def release(self, seconds: float) -> None:
        await self._call(lambda: self._server.release(seconds))

    async def stage(self) -> str:
        generation = f"{self._random.getrandbits(128):032x}"
        return await self._call(lambda: self._server.stage(generation))

    async def fill(self, generation: str, entities: Sequence[Entity]) -> None:
        await self._call(lambda: self._server.fill(generation, entities))

    async def switch(self, generation: str, position: Position, replaces: str | None) -> bool:
        return await self._call(lambda: self._server.switch(generation, position, replaces))

    async def discard(self, generation: str) -> None:
        await self._call(lambda: self._server.discard(generation))

    async def scan(self, generation: str) -> AsyncIterator[Sequence[Entity]]:
        keys = await self._call(lambda: self._server.keys(generation))
        for start in range(0, len(keys), PART):
            part = keys[start : start + PART]
            yield await self._call(lambda part=part: self._server.some(generation, part))  # type: ignore[misc]  # mypy cannot type defaults of lambdas

    async def repair(self, expected: Copy, entities: Sequence[Entity]) -> bool:
        return await self._call(lambda: self._server.repair(expected, entities))

    async def close(self) -> None:
        """Nothing is held."""

    async def _call(self, work: Callable[[], T]) -> T:
        if self._link.refuses or self._server.down:
            await asyncio.sleep(self._link.delay())
            raise StoreUnavailable("Redis: ConnectionError")
        answer: asyncio.Future[T] = self._loop.create_future()
        connection = Connection(self._link, lambda: _fail(answer))
        connection.send(OUT, lambda: self._serve(connection, work, answer))
        try:
            async with asyncio.timeout(TIMEOUT):
                return await answer
        except TimeoutError:
            raise StoreUnavailable("Redis: TimeoutError") from None
        finally:
            connection.close()

    def _serve(self, connection: Connection, work: Callable[[], T], answer: asyncio.Future[T]) -> None:
        server = self._server
        if server.frozen or server.slow:
            # It is done all the same when its time has come, whether or not anybody still waits.
            delay = 0.2 if server.frozen else server.slow
            again = self._serve if server.frozen else self._work
            self._link.scheduler.after(delay, lambda: again(connection, work, answer))
        else:
            self._work(connection, work, answer)

    def _work(self, connection: Connection, work: Callable[[], T], answer: asyncio.Future[T]) -> None:
        fate = self._server.fate()
        if self._server.down or fate == "before":
            connection.send(IN, lambda: _fail(answer))
            return
        result: Any = None
        try:
            result = work()
        except StoreUnavailable as error:
            reason = str(error)
            connection.send(IN, lambda: _fail(answer, reason))
            return
        if fate == "after":
            connection.send(IN, lambda: _fail(answer))
        else:
            connection.send(IN, lambda: settle(answer, result))


def _write(held: _Generation, entities: Sequence[Entity]) -> None:
    for key, revision, state in ((each.key, each.revision, encode_state(each.state)) for each in entities):
        held.entities[key] = Entity(key, revision, decode_state(key.kind, state))


def settle(answer: asyncio.Future[T], result: T) -> None:
    if not answer.done():
        answer.set_result(result)


def _fail(answer: asyncio.Future[Any], reason: str = "Redis: ConnectionError") -> None:
    if not answer.done():
        answer.set_exception(StoreUnavailable(reason))


def _follows(position: Position, present: Position | None) -> bool:
    if present is None:
        return True
    return position.epoch == present.epoch and position.revision >= present.revision
