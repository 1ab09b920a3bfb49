"""What can go wrong in the world, and how it ends."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from lab.simulation.faults import hosts, links, log, messages, services, stores
from lab.simulation.faults.kind import Kind

CATALOGUE: Mapping[str, Kind] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            *services.KINDS,
            *log.KINDS,
            *messages.KINDS,
            *stores.KINDS,
            *links.KINDS,
            *hosts.KINDS,
        )
    }
)
