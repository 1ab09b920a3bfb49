"""The processes of a sidecar that consists of several, and what they tell each other."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from lab.simulation.faults.kind import Kind, Strike
from lab.simulation.process import FOLLOWER
from lab.simulation.team import Team
from lab.simulation.world import World

Pick = Callable[[Team, Random], int]


def _team(world: World, random: Random) -> Team:
    sidecar = random.choice(world.sidecars)
    if not isinstance(sidecar, Team):
        raise TypeError("only worlds with workers have such faults")
    return sidecar


def _follower(_team: Team, _random: Random) -> int:
    return FOLLOWER


def _any_worker(team: Team, random: Random) -> int:
    return random.randint(1, team.setup.workers)


def _killed(pick: Pick) -> Callable[[World, Random], Strike]:
    def strike(world: World, random: Random) -> Strike:
        team = _team(world, random)
        role = pick(team, random)
        team.end(role)
        return Strike(f"{team.name}, {role}", ((team.name,),))

    return strike


def _frozen(pick: Pick) -> Callable[[World, Random], Strike]:
    def strike(world: World, random: Random) -> Strike:
        team = _team(world, random)
        role = pick(team, random)
        process = team.freeze(role)

        def thaw() -> None:
            if process is not None and process.running:
                process.loop.resume()

        return Strike(f"{team.name}, {role}", ((team.name,),), thaw)

    return strike


def _slow(world: World, random: Random) -> Strike:
    team = _team(world, random)
    team.lines.lag = random.choice((0.05, 0.5, 3.0))

    def well() -> None:
        team.lines.lag = 0.0

    return Strike(f"{team.name}: up to {team.lines.lag} s", ((team.name,),), well)


def _cut(world: World, random: Random) -> Strike:
    team = _team(world, random)
    team.lines.cut()
    return Strike(team.name, ((team.name,),))


KINDS = (
    Kind("kill the follower", _killed(_follower), (0.0, 0.1)),
    Kind("freeze the follower", _frozen(_follower), (0.2, 12.0)),
    Kind("kill a worker", _killed(_any_worker), (0.0, 0.1)),
    Kind("freeze a worker", _frozen(_any_worker), (0.2, 12.0)),
    Kind("read lines slowly", _slow, (1.0, 12.0)),
    Kind("cut lines", _cut, (0.0, 0.1)),
)
