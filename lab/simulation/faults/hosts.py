"""The sidecars' own processes and hosts."""

from __future__ import annotations

from random import Random

from lab.simulation.faults.kind import Kind, Strike
from lab.simulation.world import World


def _killed(world: World, random: Random) -> Strike:
    sidecar = random.choice(world.sidecars)
    sidecar.kill()
    return Strike(sidecar.name, ((sidecar.name,),), sidecar.start_again)


def _all_killed(world: World, _random: Random) -> Strike:
    names = tuple((sidecar.name,) for sidecar in world.sidecars)
    for sidecar in world.sidecars:
        sidecar.kill()

    def start() -> None:
        for sidecar in world.sidecars:
            sidecar.start_again()

    return Strike("all at once", names, start)


def _paused(world: World, random: Random) -> Strike:
    sidecar = random.choice(world.sidecars)
    sidecar.pause()
    return Strike(sidecar.name, ((sidecar.name,),), sidecar.resume)


def _clock_drifts(world: World, random: Random) -> Strike:
    sidecar = random.choice(world.sidecars)
    rate = random.choice((0.99, 0.999, 1.001, 1.01))
    sidecar.clock.run_at(rate)
    return Strike(f"{sidecar.name}, rate {rate}", ((sidecar.name,),), lambda: sidecar.clock.run_at(1.0))


def _clock_stepped(world: World, random: Random) -> Strike:
    sidecar = random.choice(world.sidecars)
    seconds = random.choice((-1, 1)) * random.uniform(1.0, 90.0)
    sidecar.clock.step(seconds)
    return Strike(
        f"{sidecar.name}, {seconds:+.1f} s", ((sidecar.name,),), lambda: sidecar.clock.step(-seconds)
    )


KINDS = (
    Kind("kill a sidecar", _killed, (0.1, 8.0)),
    Kind("kill all sidecars", _all_killed, (0.1, 4.0)),
    Kind("pause a sidecar", _paused, (0.2, 12.0)),
    Kind("let a sidecar's clock drift", _clock_drifts, (5.0, 30.0)),
    Kind("set a sidecar's clock", _clock_stepped, (1.0, 10.0)),
)
