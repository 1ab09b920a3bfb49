"""The broker and the relays."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from lab.simulation.faults.kind import BROKER, Kind, Strike, setting
from lab.simulation.world import World

FARTHEST_BEHIND = 10.0
"""Seconds."""
POISON = (
    b"",
    b"\xff\xfe",
    b"{}",
    b"[]",
    b'{"v":1,"type":"change"}',
    b'{"v":2,"type":"heartbeat"}',
    b'{"v":1,"type":"heartbeat","epoch":"x","revision":1,"at":"now"}',
)


def _killed(world: World, _random: Random) -> Strike:
    world.broker.stop()
    for sidecar in world.sidecars:
        sidecar.links["broker"].reset()
    return Strike("", (BROKER,), lambda: setattr(world.broker, "down", False))


def _frozen(world: World, _random: Random) -> Strike:
    world.broker.frozen = True
    return Strike("", (BROKER,), world.broker.thaw)


def _share(name: str) -> Callable[[World, Random], Strike]:
    def strike(world: World, random: Random) -> Strike:
        share = random.choice((0.05, 0.5, 1.0))
        return setting(world.broker, name, share, 0.0, BROKER, detail=f"{share:.0%} of the messages")

    return strike


def _backlog(world: World, random: Random) -> Strike:
    seconds = random.choice((0.3, 4.0, 12.0))
    return setting(world.broker, "backlog", seconds, 0.0, BROKER, detail=f"{seconds} s")


def _falling_behind(world: World, _random: Random) -> Strike:
    """So slowly that no subscriber takes the broker for silent, and looks for another connection."""
    broker, growing = world.broker, True

    def further() -> None:
        if growing and broker.backlog < FARTHEST_BEHIND:
            broker.backlog += 0.25
            world.scheduler.after(0.5, further)

    def caught_up() -> None:
        nonlocal growing
        growing, broker.backlog = False, 0.0

    further()
    return Strike(f"up to {FARTHEST_BEHIND} s", (BROKER,), caught_up)


def _replayed(world: World, random: Random) -> Strike:
    old = list(world.broker.published)
    bodies = random.sample(old, min(len(old), random.randint(1, 30)))
    for body in bodies:
        world.scheduler.after(random.uniform(0.0, 1.0), lambda body=body: world.broker.publish(body))  # type: ignore[misc]  # mypy cannot type defaults of lambdas
    return Strike(f"{len(bodies)} old messages", (BROKER,))


def _poisoned(world: World, random: Random) -> Strike:
    for body in random.sample(POISON, 3):
        world.broker.publish(body)
    return Strike("", (BROKER,))


def _exchange_rebuilt(world: World, _random: Random) -> Strike:
    world.broker.rebuild_exchange()
    return Strike("bindings are lost", (BROKER,))


def _exchange_missing(world: World, _random: Random) -> Strike:
    world.broker.rebuild_exchange()
    return setting(world.broker, "exchange", False, True, BROKER)


def _cancelled(world: World, _random: Random) -> Strike:
    for name, queue in tuple(world.broker.queues.items()):
        world.broker.delete(name)
        if queue.channel is not None:
            queue.channel.cancel()
    return Strike("", (BROKER,))


def _relay_stopped(world: World, _random: Random) -> Strike:
    return setting(world.relay, "stopped", True, False, BROKER)


def _relay_lags(world: World, random: Random) -> Strike:
    lag = random.uniform(0.2, 20.0)
    return setting(world.relay, "lag", lag, 0.0, BROKER, detail=f"{lag:.1f} s behind what it saw")


def _second_relay(world: World, random: Random) -> Strike:
    relay = world.new_relay(f"relay {random.random()}")
    return Strike("", (), relay.retire)


KINDS = (
    Kind("kill the broker", _killed, (0.5, 10.0)),
    Kind("freeze the broker", _frozen, (0.5, 10.0)),
    Kind("lose messages", _share("loses"), (1.0, 10.0)),
    Kind("double messages", _share("duplicates"), (1.0, 10.0)),
    Kind("disorder messages", _share("disorders"), (1.0, 10.0)),
    Kind("hold up messages", _backlog, (2.0, 30.0)),
    Kind("replay messages", _replayed, (0.0, 1.0)),
    Kind("poison messages", _poisoned, (0.0, 0.1)),
    Kind("rebuild the exchange", _exchange_rebuilt, (0.0, 0.1)),
    Kind("delete the exchange", _exchange_missing, (0.5, 10.0)),
    Kind("cancel consumers", _cancelled, (0.0, 0.1)),
    Kind("stop the relay", _relay_stopped, (0.5, 15.0)),
    Kind("hold up the relay", _relay_lags, (1.0, 15.0)),
    Kind("two relays", _second_relay, (1.0, 15.0)),
)
TOGETHER = (Kind("let messages fall behind", _falling_behind, (15.0, 40.0)),)
"""What strikes only together with others."""
