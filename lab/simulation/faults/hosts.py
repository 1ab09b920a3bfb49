"""The sidecars' own processes and hosts."""

from __future__ import annotations

from random import Random

from lab.simulation.faults.kind import STORE, Kind, Strike
from lab.simulation.joints.rules import POLICIES
from lab.simulation.world import World


def _killed(world: World, random: Random) -> Strike:
    sidecar = random.choice(world.sidecars)
    sidecar.kill()
    return Strike(sidecar.name, ((sidecar.name,),), sidecar.start)


def _all_killed(world: World, random: Random) -> Strike:
    """They start again warm, or cold: with nothing in the store."""
    names = tuple((sidecar.name,) for sidecar in world.sidecars)
    cold = random.random() < 0.3
    for sidecar in world.sidecars:
        sidecar.kill()
    if cold:
        world.store.flush()

    def start() -> None:
        for sidecar in world.sidecars:
            sidecar.start()

    return Strike("to start cold" if cold else "to start warm", (*names, STORE) if cold else names, start)


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


def _handed_over(world: World, random: Random) -> Strike:
    """It begins: the newer process has so long to become live."""
    sidecar, seconds = random.choice(world.sidecars), random.choice((2.0, 10.0, 30.0))
    sidecar.hand_over(seconds)
    return Strike(f"{sidecar.name}, within {seconds:.0f} s", ())


def _reloaded(world: World, random: Random) -> Strike:
    rules = random.randrange(len(POLICIES))
    chosen = random.choice((world.sidecars, [random.choice(world.sidecars)]))
    for sidecar in chosen:
        sidecar.reload(rules)
    return Strike(f"rules {rules}: {', '.join(sidecar.name for sidecar in chosen)}", ())


KINDS = (
    Kind("hand over to a new process", _handed_over, (0.0, 0.1)),
    Kind("put other rules into force", _reloaded, (0.0, 0.1)),
    Kind("kill a sidecar", _killed, (0.1, 8.0)),
    Kind("kill all sidecars", _all_killed, (0.1, 4.0)),
    Kind("pause a sidecar", _paused, (0.2, 12.0)),
    Kind("let a sidecar's clock drift", _clock_drifts, (5.0, 30.0)),
    Kind("set a sidecar's clock", _clock_stepped, (1.0, 10.0)),
)
