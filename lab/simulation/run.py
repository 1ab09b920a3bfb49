"""One seed from beginning to end."""

from __future__ import annotations

import asyncio
import gc
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from lab.simulation import coincidences
from lab.simulation.faults import BYTE_PATH, CATALOGUE, ELSEWHERE, IMPORTS, WORKERS
from lab.simulation.joints import asking
from lab.simulation.joints.patches import logs, patched
from lab.simulation.judge import differences
from lab.simulation.plan import Fault, Plan, draw
from lab.simulation.process import Process
from lab.simulation.scheduler import Spinning
from lab.simulation.world import World, finalizer_hooks

QUIET = 3.0
"""Seconds without writes before the end is judged."""
RECOVERY = 45.0
"""Seconds after the last fault in which everything must be well again."""

EVERY, COINCIDE = 8, 2
"""What seeds leave by so many in whose worlds faults strike together."""

LOADED_AGAIN = 75.0
"""Seconds after the last fault in which a store that was left empty is loaded."""
CATCH_UP = 10.0
DRAINED = 30.0
"""Seconds after the last client of the byte path has connected, in which all connections have ended."""

Tell = Callable[[float, str], None]


@dataclass(slots=True)
class Outcome:
    """What came of one seed. `digest`: of everything that happened."""

    plan: Plan
    digest: str
    violations: list[str]
    decisions: int
    waited: int
    faults: Counter[str]
    sidecar_seconds: float
    oldest: float
    codes: Counter[str] = field(default_factory=Counter)


def plan_of(seed: int) -> Plan:
    elsewhere = {name: kind.seconds for name, kind in ELSEWHERE.items()}
    if seed % EVERY == COINCIDE:
        return coincidences.draw(seed, elsewhere)
    return draw(
        seed,
        elsewhere,
        {name: kind.seconds for name, kind in BYTE_PATH.items()},
        {name: kind.seconds for name, kind in WORKERS.items()},
        {name: kind.seconds for name, kind in IMPORTS.items()},
    )


def run(plan: Plan, tell: Tell | None = None) -> Outcome:
    """Everything that happens in one plan's world, until it is over or something is wrong."""
    with reproducible(plan):
        world = World(plan, tell)
        with life(world):
            try:
                _live(world)
            except Spinning as error:
                world.violation(str(error))
            return _outcome(world)


@contextmanager
def reproducible(plan: Plan) -> Iterator[None]:
    """While it lasts, nothing but the plan decides what happens in this process."""
    state, hooks = random.getstate(), sys.get_asyncgen_hooks()
    random.seed(plan.seed)  # the product draws its jitter from there
    gc.collect()
    gc.disable()
    try:
        finalizer_hooks()
        yield
    finally:
        sys.set_asyncgen_hooks(*hooks)
        random.setstate(state)
        gc.enable()
        asyncio.set_event_loop(None)


@contextmanager
def life(world: World) -> Iterator[None]:
    """While it lasts the product's modules are joined to this world; in the end all its processes end."""
    with patched(world.plan.setup, world.connect_broker):
        with logs(world.violation):
            yield
        with logs(lambda _: None):
            world.bury()


def _live(world: World) -> None:
    setup = world.setup
    world.start()
    ends = setup.duration
    for fault in world.plan.faults:
        world.scheduler.at(fault.at, partial(_strike, world, fault))
        ends = max(ends, fault.at + fault.seconds)
    well = ends + RECOVERY + setup.max_staleness + 1.5 * min(setup.drift_interval, 20.0)
    world.scheduler.at(well - QUIET - setup.max_staleness / 2, world.quieten)
    world.scheduler.at(well - DRAINED, world.drain)
    world.scheduler.run(well, lambda: bool(world.violations))
    _let_store_follow(world)
    if not world.violations:
        _judge_end(world)


def _let_store_follow(world: World) -> None:
    """A far store takes a flood of revisions one round trip after the other: as long as it moves it may.

    One that took no copy while something was broken is not tried again within a minute.
    """
    before = None
    if world.store.held() is None:
        world.scheduler.run(world.scheduler.now + LOADED_AGAIN - RECOVERY, lambda: bool(world.violations))
    while not world.violations and (held := world.store.held()) is not None and held[0] != before:
        before = held[0]
        world.scheduler.run(world.scheduler.now + CATCH_UP, lambda: bool(world.violations))


def _strike(world: World, fault: Fault) -> None:
    kind = CATALOGUE[fault.kind]
    strike = kind.strike(world, random.Random(fault.seed))  # noqa: S311 (it has to be reproducible)
    world.faults[fault.kind] += 1
    world.tell(f"fault {fault.number}: {fault.kind} ({strike.detail}) for {fault.seconds:.1f} s")
    world.trouble(*strike.troubles)

    def end() -> None:
        strike.end()
        world.relieve(*strike.troubles)
        world.tell(f"fault {fault.number} is over: {fault.kind}")

    world.scheduler.after(fault.seconds, end)


def _judge_end(world: World) -> None:
    """Everybody is live and equal to the truth, and so is the store."""
    head = world.database.head
    for sidecar in world.sidecars:
        if len(sidecar.running) != len(sidecar.wanted):
            world.violation(f"{sidecar.name} has {len(sidecar.running)} processes, after everything")
        for process in sidecar.wanted:
            _judge_process(world, sidecar.name, process)
    held = world.store.held()
    if held is None:
        world.violation("the store is empty, after everything")
        return
    for difference in differences(*held, head):
        world.violation(f"the store, after everything: {difference}")


def _judge_process(world: World, name: str, process: Process | None) -> None:
    parts = None if process is None else process.parts
    if process is None or parts is None or not parts.live():
        world.violation(f"{process.name if process else name} is not live {RECOVERY} s after the last fault")
        return
    for difference in differences(asking.position(parts), asking.held(parts), world.database.head):
        world.violation(f"{process.name}, after everything: {difference}")
    for what in process.byte_path.left_over() if process.byte_path else ():
        world.violation(f"{process.name}, after everything: {what}")


def _outcome(world: World) -> Outcome:
    judge = world.judge
    return Outcome(
        world.plan,
        world.digest(),
        list(world.violations),
        judge.codes.total(),
        judge.waited,
        world.faults,
        world.scheduler.now * len(world.sidecars),
        judge.oldest,
        judge.codes,
    )
