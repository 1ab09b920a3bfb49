"""Virtual time, and the event loops that live in it.

The world is one heap of things to happen. Each process of the world has an asyncio event loop of its own,
whose `time()` is the clock of its host. Time stands still while anything is ready to run, then jumps to the
next thing. Which process runs next, and in which order what is ready in it runs, is drawn from the seed;
callbacks of one future stay in order, as asyncio promises. A paused process is not run, and what arrives
for it waits; a killed one is never run again.
"""

from __future__ import annotations

import asyncio
import heapq
import math
from asyncio import events
from collections.abc import Callable, Coroutine
from contextvars import Context
from random import Random
from typing import Any, TypeVarTuple, Unpack
from weakref import WeakSet

from lab.simulation.clocks import HostClock

Ts = TypeVarTuple("Ts")

CLOSE_ENOUGH = 1e-9
"""Timers this near are due: host time and world time differ by rounding."""
SPINNING = 200_000
"""Callbacks of one process at one instant: it will never let time go on."""

BURIAL_ROUNDS = 200


class Spinning(Exception):
    """A process keeps itself busy without time passing."""


class Scheduler:
    """The world's time, in seconds, and what is to happen in it."""

    def __init__(self, random: Random) -> None:
        self.now = 0.0
        self._random = random
        self._heap: list[tuple[float, float, int, Callable[[], object]]] = []
        self._count = 0
        self._runnable: list[ProcessLoop] = []

    def at(self, when: float, action: Callable[[], object]) -> None:
        """Have something happen; what happens at the same instant happens in a random order."""
        self._count += 1
        heapq.heappush(self._heap, (max(when, self.now), self._random.random(), self._count, action))

    def after(self, delay: float, action: Callable[[], object]) -> None:
        self.at(self.now + delay, action)

    def runnable(self, process: ProcessLoop) -> None:
        self._runnable.append(process)

    def run(self, until: float, stop: Callable[[], bool]) -> None:
        """Let time pass up to `until`, or until `stop` says that enough was seen."""
        heap, runnable = self._heap, self._runnable
        while not stop():
            while runnable:
                index = int(self._random.random() * len(runnable)) if len(runnable) > 1 else 0
                runnable[index], runnable[-1] = runnable[-1], runnable[index]
                runnable.pop().run_ready()
            if not heap or heap[0][0] > until:
                self.now = until
                return
            self.now, _, _, action = heapq.heappop(heap)
            action()


class ProcessLoop(asyncio.BaseEventLoop):
    """The event loop of one process."""

    def __init__(self, scheduler: Scheduler, clock: HostClock, random: Random, name: str) -> None:
        super().__init__()
        self.name = name
        self.owner: Any = None
        """Whose process it is."""
        self.dial: Callable[[Any], Coroutine[Any, Any, Any]] | None = None
        """Makes connections for protocols of such a factory."""
        self.steps = 0
        """Callbacks it has run, in so many rounds."""
        self.rounds = 0
        self._scheduler = scheduler
        self._clock = clock
        self._random = random
        self._queue: list[events.Handle] = []
        self._timers: list[events.TimerHandle] = []
        self._announced = False
        self._stopped = False
        self._spawned: set[asyncio.Task[Any]] = set()
        self._tasks: WeakSet[asyncio.Task[Any]] = WeakSet()
        self._wake_at = math.inf
        self._instant = -1.0
        self._at_instant = 0
        self._may_spin = False
        clock.changed.append(self._rearm)

    # asyncio's side

    def time(self) -> float:
        return self._clock.monotonic()

    def call_soon(
        self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> events.Handle:
        handle = events.Handle(callback, args, self, context)
        self._queue.append(handle)
        if not self._announced and not self._stopped:
            self._announced = True
            self._scheduler.runnable(self)
        return handle

    call_soon_threadsafe = call_soon

    def create_task(self, *args: Any, **options: Any) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = super().create_task(*args, **options)
        self._tasks.add(task)
        return task

    @property
    def tasks(self) -> int:
        """How many there are. `asyncio.all_tasks` would go through those of the whole world."""
        return sum(not task.done() for task in self._tasks)

    @property
    def unspawned(self) -> int:
        """Those of them that were not made by `spawn`."""
        return sum(not task.done() and task not in self._spawned for task in self._tasks)

    @property
    def paused(self) -> bool:
        return self._stopped

    def spawn(self, work: Coroutine[Any, Any, object]) -> None:
        """Run it as a task of this process."""
        task = self.create_task(work)
        self._spawned.add(task)
        task.add_done_callback(self._spawned.discard)

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> events.TimerHandle:
        timer = events.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, timer)
        timer._scheduled = True  # type: ignore[attr-defined]  # as BaseEventLoop does: its `cancel` looks at it
        self._arm(when)
        return timer

    def _timer_handle_cancelled(self, handle: events.TimerHandle) -> None:
        """Cancelled timers are dropped when they come to the top."""

    async def create_connection(self, protocol_factory: Any, *_where: Any, **_how: Any) -> Any:
        if self.dial is None:
            raise AssertionError("this process has nobody to connect to")
        return await self.dial(protocol_factory)

    async def create_unix_connection(self, protocol_factory: Any, *_where: Any, **how: Any) -> Any:
        """Over an end of a line, which is said to be its socket."""
        end, protocol = how["sock"], protocol_factory()
        end.attach(self, protocol)
        return end, protocol

    def add_reader(self, fd: Any, callback: Callable[[Unpack[Ts]], object], *args: *Ts) -> None:
        """`fd`: where ends of lines are found."""
        fd.watch(lambda: self.call_soon(callback, *args))

    def remove_reader(self, fd: Any) -> bool:
        fd.watch(None)
        return True

    # The world's side

    def pause(self) -> None:
        self._stopped = True

    def resume(self) -> None:
        self._stopped = False
        if not self._announced:
            self._announced = True
            self._scheduler.runnable(self)
        self._rearm()

    def run_ready(self) -> None:
        """One round: the timers that are due, and what was ready when it began."""
        self._announced = False
        if self._stopped:
            return
        self._take_due()
        handles, self._queue = self._queue, []
        if len(handles) > 1:
            self._shuffle(handles)
        self._count(len(handles))
        events._set_running_loop(self)
        try:
            for handle in handles:
                if not handle._cancelled:
                    handle._run()
        finally:
            events._set_running_loop(None)

    def bury(self) -> None:
        """Let everything in a process that is no more end, with no time passing."""
        self.set_exception_handler(lambda _loop, _context: None)
        self._may_spin = True
        for _ in range(BURIAL_ROUNDS):
            tasks = asyncio.all_tasks(self)
            if not tasks and not self._queue:
                break
            for task in tasks:
                task.cancel()
            self._queue += [timer for timer in self._timers if not timer._cancelled]
            self._timers.clear()
            self._stopped = False
            self.run_ready()
            self._stopped = True
        self.close()

    def _take_due(self) -> None:
        due = self._clock.monotonic() + CLOSE_ENOUGH
        timers = self._timers
        while timers and (timers[0]._cancelled or timers[0].when() <= due):
            timer = heapq.heappop(timers)
            timer._scheduled = False  # type: ignore[attr-defined]  # as BaseEventLoop does
            if not timer._cancelled:
                self._queue.append(timer)
        if timers and self._wake_at == math.inf:
            self._arm(timers[0].when())

    def _shuffle(self, handles: list[events.Handle]) -> None:
        """Any order, but callbacks of one future stay in theirs."""
        draw = self._random.random
        keys: dict[object, float] = {}
        order = []
        for index, handle in enumerate(handles):
            args = handle._args
            group: object = id(args[0]) if args and isinstance(args[0], asyncio.Future) else -1 - index
            order.append((keys.setdefault(group, draw()), index, handle))
        order.sort(key=lambda entry: entry[:2])
        handles[:] = [handle for _, _, handle in order]

    def _count(self, handles: int) -> None:
        self.steps += handles
        self.rounds += 1
        if self._scheduler.now != self._instant:
            self._instant, self._at_instant = self._scheduler.now, 0
        self._at_instant += handles
        if self._at_instant > SPINNING and not self._may_spin:
            raise Spinning(f"{self.name} runs on and on at {self._instant:.3f} s")

    def _arm(self, when: float) -> None:
        """Be woken at this time of ours, unless it is to be earlier anyway."""
        world = self._clock.world_time(when)
        if world < self._wake_at:
            self._wake_at = world
            self._scheduler.at(world, lambda: self._wake(world))

    def _rearm(self) -> None:
        self._wake_at = math.inf
        if self._timers and not self._stopped:
            self._arm(self._timers[0].when())

    def _wake(self, armed_for: float) -> None:
        if armed_for != self._wake_at:
            return  # the clock was set, or an earlier timer came
        self._wake_at = math.inf
        if not self._announced and not self._stopped:
            self._announced = True
            self._scheduler.runnable(self)
