"""Virtual time and the event loops that live in it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from lab.simulation.clocks import HostClock
from lab.simulation.plan import stream
from lab.simulation.scheduler import ProcessLoop, Scheduler, Spinning


class World:
    """One process."""

    def __init__(self, seed: int = 1, rate: float = 1.0) -> None:
        self.scheduler = Scheduler(stream(seed, "scheduler"))
        self.clock = HostClock(self.scheduler, rate)
        self.loop = ProcessLoop(self.scheduler, self.clock, stream(seed, "process"), "p")
        self.happened: list[tuple[float, object]] = []

    def note(self, what: object) -> None:
        self.happened.append((round(self.scheduler.now, 6), what))

    def run(self, work: Callable[[], Coroutine[Any, Any, None]], until: float = 100.0) -> None:
        self.loop.call_soon(lambda: self.loop.spawn(work()))
        self.scheduler.run(until, lambda: False)
        self.loop.bury()


def test_time_jumps_to_what_is_next() -> None:
    world = World()

    async def work() -> None:
        await asyncio.sleep(5)
        world.note("slept")
        try:
            async with asyncio.timeout(2):
                await asyncio.sleep(3600)
        except TimeoutError:
            world.note("timed out")

    world.run(work)
    assert world.happened == [(5.0, "slept"), (7.0, "timed out")]
    assert world.scheduler.now == 100.0


def test_a_host_has_a_rate_of_its_own() -> None:
    world = World(rate=2.0)

    async def work() -> None:
        await asyncio.sleep(10)
        world.note("slept")
        world.clock.run_at(0.5)
        await asyncio.sleep(10)
        world.note("slept")

    world.run(work)
    assert world.happened == [(5.0, "slept"), (25.0, "slept")]


def test_a_timer_follows_a_change_of_the_rate() -> None:
    world = World()

    async def work() -> None:
        await asyncio.sleep(10)
        world.note("slept")

    world.scheduler.at(5.0, lambda: world.clock.run_at(0.5))
    world.run(work)
    assert world.happened == [(15.0, "slept")]


def test_what_arrives_for_a_paused_process_waits() -> None:
    world = World()

    async def work() -> None:
        await asyncio.sleep(1)
        world.note("slept")

    world.scheduler.at(0.5, world.loop.pause)
    world.scheduler.at(2.0, lambda: world.loop.call_soon(world.note, "arrived"))
    world.scheduler.at(9.0, world.loop.resume)
    world.run(work)
    assert sorted(world.happened, key=str) == [(9.0, "arrived"), (9.0, "slept")]


def test_a_process_that_is_never_resumed_does_nothing_any_more() -> None:
    world = World()

    async def work() -> None:
        await asyncio.sleep(1)
        world.note("slept")

    world.scheduler.at(0.5, world.loop.pause)
    world.loop.call_soon(lambda: world.loop.spawn(work()))
    world.scheduler.run(100.0, lambda: False)
    assert world.happened == []
    world.loop.bury()


def _order(seed: int) -> list[object]:
    world = World(seed)

    async def one(name: int) -> None:
        for step in range(3):
            world.note((name, step))
            await asyncio.sleep(0)

    async def work() -> None:
        await asyncio.gather(*(one(name) for name in range(5)))

    world.run(work)
    return [what for _, what in world.happened]


def test_the_order_of_what_is_ready_comes_from_the_seed() -> None:
    orders = [_order(seed) for seed in range(10)]
    assert orders == [_order(seed) for seed in range(10)]
    assert len({tuple(map(str, order)) for order in orders}) > 1


def test_callbacks_of_one_future_stay_in_order() -> None:
    for seed in range(20):
        assert _order_of_callbacks(World(seed)) == list(range(5))


def _order_of_callbacks(world: World) -> list[object]:
    future: asyncio.Future[None] = world.loop.create_future()
    for number in range(5):
        future.add_done_callback(lambda _, number=number: world.note(number))  # type: ignore[misc]
    world.scheduler.at(1.0, lambda: future.set_result(None))
    world.scheduler.run(2.0, lambda: False)
    world.loop.bury()
    return [what for _, what in world.happened]


def test_a_process_that_never_lets_time_go_on_is_found() -> None:
    world = World()

    async def work() -> None:
        while True:  # noqa: ASYNC110 (that is the point)
            await asyncio.sleep(0)

    with pytest.raises(Spinning):
        world.run(work)
    world.loop.bury()
