"""What can go wrong in the world, and how it ends."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from lab.simulation.faults import hosts, links, log, messages, services, stores, wires, workers
from lab.simulation.faults.kind import Kind

ELSEWHERE: Mapping[str, Kind] = MappingProxyType(
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
"""What any world may have."""
BYTE_PATH: Mapping[str, Kind] = MappingProxyType({kind.name: kind for kind in wires.KINDS})
"""What worlds with a byte path have, too."""
WORKERS: Mapping[str, Kind] = MappingProxyType({kind.name: kind for kind in workers.KINDS})
"""What worlds have, too, in which a sidecar is several processes."""
IMPORTS: Mapping[str, Kind] = MappingProxyType({kind.name: kind for kind in log.IMPORTS})
"""What worlds have, too, in which a lot is taken in now and then."""
TOGETHER: Mapping[str, Kind] = MappingProxyType(
    {kind.name: kind for kind in (*log.TOGETHER, *messages.TOGETHER)}
)
"""What strikes only in coincidences."""
CATALOGUE: Mapping[str, Kind] = MappingProxyType({**ELSEWHERE, **BYTE_PATH, **WORKERS, **IMPORTS, **TOGETHER})
