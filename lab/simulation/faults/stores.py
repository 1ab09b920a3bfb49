"""The store that sidecars share."""

from __future__ import annotations

from random import Random

from lab.simulation.faults.kind import STORE, Kind, Strike, setting
from lab.simulation.world import World


def _killed(world: World, random: Random) -> Strike:
    """It comes back empty, or with what it had."""
    world.store.down = True
    for sidecar in world.sidecars:
        sidecar.links["store"].reset()
    empty = random.random() < 0.5

    def again() -> None:
        world.store.down = False
        if empty:
            world.store.flush()

    return Strike("comes back empty" if empty else "keeps what it has", (STORE,), again)


def _frozen(world: World, _random: Random) -> Strike:
    return setting(world.store, "frozen", True, False, STORE)


def _slow(world: World, random: Random) -> Strike:
    seconds = random.choice((0.05, 0.25, 0.5, 0.9))
    return setting(world.store, "slow", seconds, 0.0, STORE, detail=f"{seconds} s a call")


def _fails_before(world: World, random: Random) -> Strike:
    share = random.choice((0.1, 0.5))
    return setting(world.store, "fails_before", share, 0.0, STORE, detail=f"{share:.0%} of the calls")


def _fails_after(world: World, random: Random) -> Strike:
    share = random.choice((0.1, 0.5))
    return setting(world.store, "fails_after", share, 0.0, STORE, detail=f"{share:.0%} of the calls")


def _flushed(world: World, _random: Random) -> Strike:
    world.store.flush()
    return Strike("", (STORE,))


def _evicted(world: World, _random: Random) -> Strike:
    world.store.evict()
    return Strike("", (STORE,))


def _loses(world: World, _random: Random) -> Strike:
    world.store.lose_entities()
    return Strike("some entities", (STORE,))


def _failed_over(world: World, _random: Random) -> Strike:
    fail_over = world.store.replica()
    return Strike("to what it held then", (STORE,), fail_over)


def _read_only(world: World, _random: Random) -> Strike:
    return setting(world.store, "read_only", True, False, STORE)


KINDS = (
    Kind("kill the store", _killed, (0.5, 10.0)),
    Kind("freeze the store", _frozen, (0.5, 10.0)),
    Kind("slow the store", _slow, (5.0, 60.0)),
    Kind("fail calls of the store", _fails_before, (0.5, 10.0)),
    Kind("lose answers of the store", _fails_after, (0.5, 10.0)),
    Kind("flush the store", _flushed, (0.0, 0.1)),
    Kind("evict from the store", _evicted, (0.0, 0.1)),
    Kind("lose entities of the store", _loses, (0.0, 0.1)),
    Kind("fail the store over", _failed_over, (0.5, 8.0)),
    Kind("make the store read-only", _read_only, (0.5, 15.0)),
)
