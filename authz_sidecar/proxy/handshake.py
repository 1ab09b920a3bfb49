"""A client's connection through TLS: it is counted and timed from the moment it is accepted.

Whoever never agrees on TLS must hold no more than a client does, and no longer. So it has a place, the time
of a head, and what it takes comes out of the memory that all clients share.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import cast

from authz_sidecar.core.verdicts import FaultCode
from authz_sidecar.proxy.downstream import Downstream
from authz_sidecar.proxy.secured import Secured
from authz_sidecar.proxy.shared import Shared


class Handshake(Secured):
    """Lets TLS be negotiated, and then a `Downstream` have the connection."""

    def __init__(self, shared: Shared, context: ssl.SSLContext, make: Callable[[Shared], Downstream]) -> None:
        super().__init__(context)
        self._shared = shared
        self._make = make
        self._peer = ""
        self._held_bytes = 0
        """What the budget of all connections has counted for this one."""
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        peer, shared = transport.get_extra_info("peername"), self._shared
        if peer is None:  # gone before it was accepted
            self.abort()
            return
        self._peer = str(peer[0])
        if not shared.has_room:  # nothing can be said before TLS is spoken
            self._refuse(FaultCode.TOO_MANY_CONNECTIONS)
            return
        shared.began(self)
        self._timer = asyncio.get_running_loop().call_later(shared.limits.head_seconds, self.abort)

    def successor(self) -> asyncio.Protocol:
        return cast(asyncio.Protocol, self._make(self._shared))  # it has what asyncio calls

    def agreed(self) -> None:
        self._settle()

    def _settle(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._shared.settled(self)

    def granted(self, held_bytes: int) -> bool:
        before, self._held_bytes = self._held_bytes, held_bytes
        if held_bytes == before or self._shared.budget.changes(before, held_bytes):
            return True
        self._held_bytes = before
        self._refuse(FaultCode.BUFFERS_FULL)
        return False

    def ended(self) -> None:
        self._shared.budget.changes(self._held_bytes, 0)
        self._held_bytes = 0
        self._settle()

    def _refuse(self, code: FaultCode) -> None:
        self._shared.failed(self._shared.new_request_id(), 0, code, self._peer)
        self.abort()
