"""The proxied port of one sidecar."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from authz_sidecar.config.addresses import UpstreamAddress
from authz_sidecar.config.limits import ProxyLimits
from authz_sidecar.core.ports import Clock, RequestObserver
from authz_sidecar.proxy.pool import UpstreamPool
from authz_sidecar.proxy.server import ProxyServer
from authz_sidecar.proxy.shared import Shared
from lab.simulation import wires
from lab.simulation.joints.parts import Parts
from lab.simulation.plan import Setup


@dataclass(frozen=True, slots=True)
class BytePath:
    """What serves clients."""

    server: ProxyServer
    shared: Shared

    def left_over(self) -> list[str]:
        """What is still under way, when nothing should be."""
        shared, pool = self.shared, self.shared.pool
        counts = {
            "clients": len(shared.clients) + len(shared.handshakes),
            "revocable requests": len(shared.revocable),
            "connections to the service": len(pool.connections),
            "bytes of the budget": shared.budget.taken_bytes,
        }
        return [f"{count} {what}" for what, count in counts.items() if count]


def byte_path(setup: Setup, parts: Parts, clock: Clock, observer: RequestObserver) -> BytePath:
    """As `app.py` puts it together, with times that end within a world's."""
    limits = ProxyLimits(
        head_seconds=3.0,
        body_seconds=4.0,
        idle_seconds=6.0,
        connect_seconds=2.0,
        response_seconds=5.0,
        upstream_idle_seconds=3.0,
        write_seconds=8.0,
        upstream_connections=setup.upstream_connections,
    )
    pool = UpstreamPool(UpstreamAddress("service.test", 80), limits, clock)
    shared = Shared(parts.pipeline, pool, observer, clock, limits, lambda _peer: False)
    _keep_in_order(shared)
    return BytePath(ProxyServer(shared), shared)


class _InOrder(set[Any]):
    """The order of a set of connections is that of their addresses in memory: another in every process."""

    def __iter__(self) -> Iterator[Any]:
        return iter(sorted(super().__iter__(), key=_age))


def _age(member: Any) -> tuple[int, str]:
    request_id = getattr(member, "request_id", None)
    return (0, request_id) if request_id is not None else (wires.age(member), "")


def _keep_in_order(shared: Shared) -> None:
    shared.clients = shared._sweep._expiring = _InOrder()
    shared.revocable = _InOrder()
    pool = shared.pool
    pool._all = pool._sweep._expiring = _InOrder()
