"""Who takes part: every proxy, started and checked, and the way without one."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from lab.bench import probes
from lab.bench.peers.base import Peer, Work
from lab.bench.peers.caddy import Caddy
from lab.bench.peers.envoy import Envoy, EnvoyLogging, EnvoyVerifying
from lab.bench.peers.haproxy import Haproxy, HaproxyLogging, HaproxyVerifying
from lab.bench.peers.nginx import Nginx, NginxAsking, NginxLogging
from lab.bench.peers.sidecar import Asking, Cached, Interpreted, Oracle, Sampled, SidecarPeer
from lab.bench.peers.traefik import Traefik, TraefikAsking
from lab.bench.world import World
from lab.stack.process import Process

DIRECT = "direct"
PEERS: tuple[type[Peer], ...] = (
    Cached,
    Sampled,
    Interpreted,
    HaproxyLogging,
    HaproxyVerifying,
    EnvoyLogging,
    EnvoyVerifying,
    NginxLogging,
    Nginx,
    Haproxy,
    Envoy,
    Traefik,
    Caddy,
    Oracle,
    NginxAsking,
    TraefikAsking,
    Asking,
)


@dataclass(frozen=True)
class Contender:
    """What is measured: an address, and a process unless it is the way without a proxy."""

    name: str
    title: str
    version: str
    work: Work
    address: str
    process: Process | None


def enter(world: World, names: Collection[str]) -> list[Contender]:
    """Starts those named, or all of them. Raises WrongAnswer when one does not do its work."""
    direct = Contender(DIRECT, "no proxy", "", Work.NOTHING, world.echo.address, None)
    chosen = [peer for peer in PEERS if not names or peer.name in names]
    contenders = [direct, *(_start(peer, world) for peer in chosen)]
    for contender in contenders:
        probe(contender, world)
    return contenders


def probe(contender: Contender, world: World) -> None:
    """Raises WrongAnswer."""
    try:
        probes.check(contender.address, world.tokens, world.echo, decides=contender.work.decides)
    except probes.WrongAnswer as wrong:
        raise probes.WrongAnswer(f"{contender.title}: {wrong}") from wrong


def _start(kind: type[Peer], world: World) -> Contender:
    peer = (
        kind(world.site, world.user_service, world.sidecar_env)
        if issubclass(kind, SidecarPeer)
        else kind(world.site)
    )
    world.enter(peer)
    return Contender(peer.name, peer.title, peer.version(), peer.work, peer.address, peer.process)
