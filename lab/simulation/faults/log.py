"""The database and its log: restored, pruned, flooded, set to another time."""

from __future__ import annotations

from random import Random

from lab.simulation.faults.kind import BROKER, SERVICE, Kind, Strike, setting
from lab.simulation.world import World


def _restored(world: World, random: Random) -> Strike:
    """A backup is taken now and restored at the end, with what was written meanwhile lost."""
    backup = world.database.backup()

    def restore() -> None:
        lost = world.database.head.revision - backup.log[-1].revision
        world.database.restore(backup, world.scheduler.now)
        world.shake(SERVICE)
        world.tell(f"restored: {lost} revisions are lost")
        wanted = backup.log[-1].revision + random.choice((0, 1, lost, lost + 1, lost + 3))
        while world.database.head.revision < wanted and world.service.sequence():
            world.administrators.commit()
            if world.administrators.adding:  # who only adds comes to an end
                break

    return Strike("", (), restore)


def _restored_in_new_epoch(world: World, _random: Random) -> Strike:
    backup = world.database.backup()

    def restore() -> None:
        world.database.restore(backup, world.scheduler.now)
        world.database.new_epoch(world.scheduler.now)
        world.shake(SERVICE)
        world.tell(f"restored, in a new epoch: {world.database.head.name}")

    return Strike("", (), restore)


def _pruned(world: World, random: Random) -> Strike:
    keep = random.choice((1, 2, 10))
    world.database.prune(keep)
    world.shake(SERVICE)
    return Strike(f"{keep} revisions are kept", (SERVICE,))


def _cannot_sequence(world: World, _random: Random) -> Strike:
    return setting(world.service, "cannot_sequence", True, False, SERVICE)


def _takes_in(world: World, _random: Random) -> Strike:
    """An import, of which nothing is in the log before all of it is."""
    world.administrators.adding = world.service.cannot_sequence = True

    def taken() -> None:
        world.administrators.adding = world.service.cannot_sequence = False

    return Strike("", (SERVICE,), taken)


def _closed(world: World, _random: Random) -> Strike:
    return setting(world.service, "closed", True, False, SERVICE, BROKER)


def _flooded(world: World, random: Random) -> Strike:
    count = random.randint(10, 120)
    for _ in range(count):
        world.administrators.commit()
        world.service.sequence()
    return Strike(f"{count} revisions at once", ())


def _bulk(world: World, _random: Random) -> Strike:
    world.administrators.bulk()
    return Strike("everybody in one transaction", ())


def _clock_set(world: World, seconds: float) -> Strike:
    world.service_clock.step(seconds)
    by, forth = abs(seconds), max(0.0, seconds)  # set back it makes no heartbeat look younger
    world.judge.slacken(forth, by)

    def back() -> None:
        world.service_clock.step(-seconds)
        world.judge.slacken(by - forth, 0.0)
        world.scheduler.after(60.0, lambda: world.judge.slacken(-by, -by))

    return Strike(f"by {seconds:+.1f} s", (SERVICE, BROKER), back)


def _clock_stepped(world: World, random: Random) -> Strike:
    return _clock_set(world, random.choice((-1, 1)) * random.uniform(0.5, 90.0))


def _clock_set_back(world: World, random: Random) -> Strike:
    """By less than news is late: what was dated before is still on its way."""
    return _clock_set(world, -random.uniform(0.85, 1.0) * (world.broker.backlog or 4.0))


def _clock_drifts(world: World, random: Random) -> Strike:
    rate = random.choice((0.99, 0.999, 1.001, 1.01))
    world.service_clock.run_at(rate)
    return Strike(f"rate {rate}", (), lambda: world.service_clock.run_at(1.0))


KINDS = (
    Kind("restore a backup", _restored, (0.5, 12.0)),
    Kind("restore, new epoch", _restored_in_new_epoch, (0.5, 12.0)),
    Kind("prune the log", _pruned, (0.0, 0.1)),
    Kind("fail to sequence", _cannot_sequence, (0.5, 8.0)),
    Kind("close the database", _closed, (0.5, 10.0)),
    Kind("flood the log", _flooded, (0.0, 0.1)),
    Kind("change everybody", _bulk, (0.0, 0.1)),
    Kind("set the service's clock", _clock_stepped, (1.0, 10.0)),
    Kind("let the service's clock drift", _clock_drifts, (5.0, 30.0)),
)


def _nobody_writes(world: World, _random: Random) -> Strike:
    return setting(world.administrators, "resting", True, False)


IMPORTS = (Kind("take in an import", _takes_in, (2.0, 20.0)),)
TOGETHER = (
    Kind("set the service's clock back a little", _clock_set_back, (1.0, 10.0)),
    Kind("let nobody write", _nobody_writes, (5.0, 30.0)),
)
"""What strikes only together with others."""
