"""Clients who have left while nothing is read from them.

A transport that is paused does not watch its socket: nobody hears that the other side has gone, and what it
asked for is held, and holds a connection to the service, until a timeout ends it. So somebody looks. A client
that has only said that it sends no more is not meant; it may still wait for its answers.
"""

from __future__ import annotations

import select
from collections.abc import Collection

from authz_sidecar.proxy.client import Client
from authz_sidecar.proxy.deadlines import Sweep


class ClientSweep(Sweep[Client]):
    """Looks not only at the clients' deadlines."""

    def _sweep(self) -> None:
        super()._sweep()
        for client in departed([client for client in self._expiring if not client.reading]):
            client.reset()


def departed(clients: Collection[Client]) -> list[Client]:
    """Those whose connections were reset, or ended by both sides."""
    found = {client.descriptor: client for client in clients}
    found.pop(-1, None)
    if not found:
        return []
    look = select.poll()
    for descriptor in found:
        look.register(descriptor, 0)  # an error and an end are told without being asked for
    return [found[descriptor] for descriptor, _ in look.poll(0)]
