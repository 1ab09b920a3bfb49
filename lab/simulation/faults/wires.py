"""The byte path: the ways to clients and to the protected service, and that service."""

from __future__ import annotations

from random import Random

from lab.simulation.faults.kind import Kind, Strike
from lab.simulation.faults.links import cut, half_open, reset
from lab.simulation.links import Link
from lab.simulation.sidecar import Sidecar
from lab.simulation.upstream import Upstream
from lab.simulation.world import World


def _pick(world: World, random: Random) -> tuple[Sidecar, str, Link]:
    sidecar = random.choice(world.sidecars)
    name = random.choice(sorted(sidecar.byte_links))
    return sidecar, name, sidecar.byte_links[name]


def _upstream(world: World, random: Random) -> tuple[Sidecar, Upstream]:
    sidecar = random.choice(world.sidecars)
    if sidecar.upstream is None:
        raise AssertionError("only worlds with a byte path have such faults")
    return sidecar, sidecar.upstream


def _delayed(world: World, random: Random) -> Strike:
    sidecar, name, link = _pick(world, random)
    link.extra = 0.01, random.choice((0.1, 1.0, 3.0))
    detail = f"{sidecar.name}, {name}: up to {link.extra[1]} s"
    return Strike(detail, ((sidecar.name, name),), lambda: link.heal(lost=False))


def _killed(world: World, random: Random) -> Strike:
    sidecar, upstream = _upstream(world, random)
    upstream.down = True
    upstream.reset_all()
    return _until(sidecar, upstream, "down", False)


def _silent(world: World, random: Random) -> Strike:
    sidecar, upstream = _upstream(world, random)
    upstream.silent = True
    return _until(sidecar, upstream, "silent", False)


def _kept_closed(world: World, random: Random) -> Strike:
    sidecar, upstream = _upstream(world, random)
    upstream.close_kept()
    return Strike(sidecar.name, ((sidecar.name, "upstream"),))


def _share(name: str) -> Kind:
    def strike(world: World, random: Random) -> Strike:
        sidecar, upstream = _upstream(world, random)
        setattr(upstream, name, random.choice((0.2, 1.0)))
        return _until(sidecar, upstream, name, 0.0)

    called = {
        "breaks": "break answers",
        "garbles": "garble the service",
        "crashes": "crash after the request",
    }
    return Kind(called[name], strike, (1.0, 10.0))


def _until(sidecar: Sidecar, upstream: Upstream, name: str, calm: object) -> Strike:
    return Strike(sidecar.name, ((sidecar.name, "upstream"),), lambda: setattr(upstream, name, calm))


KINDS = (
    Kind("cut a wire", cut(_pick), (0.5, 8.0)),
    Kind("delay a wire", _delayed, (1.0, 12.0)),
    Kind("half-open a wire", half_open(_pick), (0.5, 12.0)),
    Kind("reset wires", reset(_pick), (0.0, 0.1)),
    Kind("kill the service", _killed, (0.5, 8.0)),
    Kind("silence the service", _silent, (0.5, 10.0)),
    Kind("close kept connections", _kept_closed, (0.0, 0.1)),
    _share("breaks"),
    _share("garbles"),
    _share("crashes"),
)
