"""A fleet in one world: what a start, a change, a restart of all and an outage cost the User service.

    scripts/simulate --fleet 1000

The sidecars are those of every world; they have no clients, and share one store, one broker and one User
service, which in this world answers at once: what is counted is what it is asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from authz_sidecar.core.entities import Position
from lab.simulation.http import Request
from lab.simulation.joints.asking import position
from lab.simulation.plan import Plan, draw_setup
from lab.simulation.process import Process
from lab.simulation.run import life, reproducible
from lab.simulation.world import World

LONGEST = 120.0
"""Seconds after which a fleet that is not LIVE will not be."""
QUIET, OUTAGE = 30.0, 30.0
SELDOM = 1e-9


class Fleet(World):
    """Counts what its sidecars ask and when they have applied a revision."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.calls: Counter[tuple[int, str]] = Counter()
        """By the second and what was asked for."""
        self.read_whole = 0
        """Snapshots of which more was read than the head."""
        self.arrivals: list[float] = []

    def called(self, process: Process, request: Request) -> None:
        super().called(process, request)
        self.calls[int(self.scheduler.now), request.path.rpartition("/")[2]] += 1

    def read(self, process: Process, request: Request) -> None:
        super().read(process, request)
        if request.path.endswith("/snapshot"):
            self.read_whole += 1

    def applied(self, process: Process, position: Position) -> None:
        super().applied(process, position)
        self.arrivals.append(self.scheduler.now)

    def live(self) -> bool:
        return all(each.parts and each.parts.live() for each in self.sidecars)

    def fresh(self) -> bool:
        return self.live() and all(each.parts and each.parts.fresh() for each in self.sidecars)

    def wait_for(self, reached: Callable[[], bool]) -> float:
        """How long it takes, to a tenth of a second."""
        began = self.scheduler.now
        while not reached() and self.scheduler.now < began + LONGEST:
            self.scheduler.run(self.scheduler.now + 0.1, lambda: False)
        return self.scheduler.now - began

    def told(self, name: str, seconds: float) -> str:
        """What was asked since the last time."""
        kinds: Counter[str] = Counter()
        by_second: Counter[int] = Counter()
        for (second, kind), count in self.calls.items():
            kinds[kind] += count
            by_second[second] += count
        asked = ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common())
        if kinds["snapshot"]:
            asked += f" ({self.read_whole:,} of the snapshots read whole)"
        self.calls.clear()
        self.read_whole = 0
        peak = max(by_second.values(), default=0)
        return f"{name:<24}{seconds:6.1f} s   {peak:>6,} calls in the worst second; in all {asked or 'none'}"


def main(size: int) -> int:
    """Tell what each event costs; what was violated is the exit code."""
    setup = replace(
        draw_setup(0),
        sidecars=size,
        with_broker=(True,) * size,
        users=40,
        requests=SELDOM,
        writes=SELDOM,
        drift_interval=600.0,
        max_staleness=10.0,
        max_audit_age=None,
        connections=0.0,
    )
    plan = Plan(0, setup, ())
    with reproducible(plan):
        fleet = Fleet(plan)
        with life(fleet):
            _events(fleet)
    print("\n".join(fleet.violations))
    return 1 if fleet.violations else 0


def _events(fleet: Fleet) -> None:
    fleet.start()
    print(fleet.told("all start", fleet.wait_for(fleet.live)), flush=True)
    fleet.scheduler.run(fleet.scheduler.now + QUIET, lambda: False)
    print(fleet.told("quiet", QUIET), flush=True)
    print(_fan_out(fleet), flush=True)
    for sidecar in fleet.sidecars:
        sidecar.kill()
    for sidecar in fleet.sidecars:
        sidecar.start()
    print(fleet.told("all start again", fleet.wait_for(fleet.live)), flush=True)
    fleet.service.down = fleet.service.closed = True
    fleet.scheduler.run(fleet.scheduler.now + OUTAGE, lambda: False)
    print(fleet.told("User service down", OUTAGE), flush=True)
    fleet.service.down = fleet.service.closed = False
    print(fleet.told("User service back", fleet.wait_for(fleet.fresh)), flush=True)
    head = fleet.database.head.revision
    positions = [position(each.parts) for each in fleet.sidecars if each.parts]
    behind = sum(each is None or each.revision != head for each in positions)
    print(f"{behind} of {len(positions)} sidecars are not where the log is")


def _fan_out(fleet: Fleet) -> str:
    """From one commit to every sidecar."""
    fleet.calls.clear()
    fleet.arrivals.clear()
    began = fleet.scheduler.now
    fleet.administrators.commit()
    fleet.wait_for(lambda: len(fleet.arrivals) >= len(fleet.sidecars))
    ages = sorted(at - began for at in fleet.arrivals) or [float("nan")]
    told = ", ".join(f"{name} {ages[int(share * (len(ages) - 1))]:.3f} s" for name, share in SHARES)
    return fleet.told("one change", ages[-1]) + f"; applied by {len(ages):,}: {told}"


SHARES = (("half", 0.5), ("99 %", 0.99), ("all", 1.0))
