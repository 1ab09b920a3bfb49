"""Lines between the processes of one sidecar."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import cast

import pytest

from authz_sidecar.core.errors import Unavailable
from lab.simulation.clocks import HostClock
from lab.simulation.lines import CALLS, End, Lines, Rendezvous
from lab.simulation.plan import stream
from lab.simulation.scheduler import ProcessLoop, Scheduler


class Ear(asyncio.Protocol):
    """Notes what it is told."""

    def __init__(self) -> None:
        self.heard = b""
        self.lost = 0

    def data_received(self, data: bytes) -> None:
        self.heard += data

    def connection_lost(self, _error: Exception | None) -> None:
        self.lost += 1


class World:
    """Two processes, and where they find each other."""

    def __init__(self) -> None:
        self.scheduler = Scheduler(stream(1, "scheduler"))
        clock = HostClock(self.scheduler)
        self.loops = [ProcessLoop(self.scheduler, clock, stream(1, name), name) for name in ("a", "b")]
        self.lines = Lines(self.scheduler, stream(1, "lines"))
        self.rendezvous = Rendezvous(self.lines)
        self.ears = Ear(), Ear()

    def called(self) -> End:
        """The first process has called; the other has not answered yet."""
        end = self.rendezvous.call()
        end.attach(self.loops[0], self.ears[0])
        return end

    def answered(self) -> End:
        end = cast(End, self.rendezvous.answer())
        end.attach(self.loops[1], self.ears[1])
        return end

    def run(self) -> None:
        self.scheduler.run(self.scheduler.now + 60.0, lambda: False)


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    for loop in made.loops:
        loop.bury()


def test_what_was_written_arrives_in_order_also_before_anybody_answered(world: World) -> None:
    world.lines.lag = 3.0
    end = world.called()
    for number in range(50):
        end.write(b"%d " % number)
    world.run()
    world.answered()
    end.write(b"end")
    world.run()
    assert world.ears[1].heard == b"".join(b"%d " % number for number in range(50)) + b"end"
    assert end.get_write_buffer_size() == 0


def test_a_frozen_process_leaves_it_unread(world: World) -> None:
    end = world.called()
    world.answered()
    world.run()
    world.loops[1].pause()
    end.write(b"x" * 1_000)
    world.run()
    assert (end.get_write_buffer_size(), world.ears[1].heard) == (1_000, b"")
    world.loops[1].resume()
    world.run()
    assert (end.get_write_buffer_size(), world.ears[1].heard) == (0, b"x" * 1_000)


def test_both_ends_learn_that_a_line_is_cut(world: World) -> None:
    end = world.called()
    world.answered()
    end.write(b"before")
    end.abort()
    end.write(b"afterwards")
    world.run()
    assert [ear.lost for ear in world.ears] == [1, 1]
    assert world.ears[1].heard == b"before"


def test_a_line_ends_with_a_process_and_waits_for_who_answers_next(world: World) -> None:
    end = world.called()
    world.answered()
    world.run()
    world.lines.left(world.loops[1])
    world.run()
    assert end.is_closing()
    assert [ear.lost for ear in world.ears] == [1, 0]  # who is no more learns nothing
    world.called().write(b"anybody?")
    world.run()
    world.answered()
    world.run()
    assert world.ears[1].heard == b"anybody?"


def test_so_many_may_wait_and_no_more(world: World) -> None:
    for _ in range(CALLS):
        world.rendezvous.call()
    with pytest.raises(Unavailable):
        world.rendezvous.call()
