"""The User service fails."""

from __future__ import annotations

from random import Random

from lab.simulation.faults.kind import SERVICE, Kind, Strike, setting
from lab.simulation.world import World


def _killed(world: World, _random: Random) -> Strike:
    world.service.down = True
    for sidecar in world.sidecars:
        sidecar.links["user_service"].reset()
    return setting(world.service, "down", True, False, SERVICE)


def _frozen(world: World, _random: Random) -> Strike:
    world.service.frozen = True
    return Strike("", (SERVICE,), world.service.thaw)


def _failing(world: World, random: Random) -> Strike:
    share = random.choice((0.3, 1.0))
    return setting(world.service, "failing", share, 0.0, SERVICE, detail=f"{share:.0%} of the answers")


def _garbled(world: World, random: Random) -> Strike:
    share = random.choice((0.3, 1.0))
    return setting(world.service, "garbled", share, 0.0, SERVICE, detail=f"{share:.0%} of the answers")


def _slow(world: World, random: Random) -> Strike:
    seconds = random.choice((0.3, 1.5, 4.0))
    return setting(world.service, "slow", seconds, 0.0, SERVICE, detail=f"up to {seconds} s an answer")


def _keys_sick(world: World, _random: Random) -> Strike:
    return setting(world.service, "keys_sick", True, False, SERVICE)


def _keys_rotated(world: World, _random: Random) -> Strike:
    world.signer.rotate()
    return Strike(world.signer.kid, (SERVICE,))


def _snapshot_slow(world: World, random: Random) -> Strike:
    pace = random.uniform(0.2, 3.0)
    return setting(world.service, "snapshot_pace", pace, 0.0, SERVICE, detail=f"{pace:.1f} s a piece")


def _snapshot_cut(world: World, _random: Random) -> Strike:
    return setting(world.service, "snapshot_flaw", "cut", None, SERVICE)


def _snapshot_truncated(world: World, _random: Random) -> Strike:
    return setting(world.service, "snapshot_flaw", "truncated", None, SERVICE)


def _audit_stopped(world: World, _random: Random) -> Strike:
    return setting(world.service, "auditing", False, True, SERVICE)


KINDS = (
    Kind("kill the User service", _killed, (0.5, 10.0)),
    Kind("freeze the User service", _frozen, (0.5, 10.0)),
    Kind("slow answers", _slow, (2.0, 30.0)),
    Kind("fail answers", _failing, (0.5, 8.0)),
    Kind("garble answers", _garbled, (0.5, 8.0)),
    Kind("fail the key endpoint", _keys_sick, (1.0, 20.0)),
    Kind("stop the audit", _audit_stopped, (2.0, 30.0)),
    Kind("rotate the keys", _keys_rotated, (0.0, 0.1)),
    Kind("slow snapshots", _snapshot_slow, (1.0, 20.0)),
    Kind("cut snapshots", _snapshot_cut, (1.0, 10.0)),
    Kind("truncate snapshots", _snapshot_truncated, (1.0, 10.0)),
)
