"""One connection from a client through a proxy that speaks the PROXY protocol."""

from __future__ import annotations

import asyncio

from authz_sidecar.core.verdicts import FaultCode
from authz_sidecar.proxy import proxy_protocol
from authz_sidecar.proxy.downstream import Downstream
from authz_sidecar.proxy.shared import Shared


class ProxiedDownstream(Downstream):
    """Wants a PROXY header from a trusted peer before the first byte of HTTP, and closes without one."""

    def __init__(self, shared: Shared) -> None:
        super().__init__(shared)
        self._header: bytes | None = b""
        """What has come of the header; `None` once it is read."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self._transport is not None and not self.trusted:
            self._refuse(FaultCode.PROXY_NOT_TRUSTED)

    def data_received(self, data: bytes) -> None:
        if self._header is None:
            super().data_received(data)
            return
        self._header += data
        try:
            header = proxy_protocol.parse(self._header)
        except proxy_protocol.BadHeader:
            self._refuse(FaultCode.PROXY_HEADER_MALFORMED)
            return
        if header is None:
            return
        rest, self._header = self._header[header.size :], None
        self.peer = header.client or self.peer
        # A proxy that names nobody has not said that its client's forwarding headers are its own.
        self.trusted = header.client is not None and self._shared.trusts(header.client)
        if rest:
            super().data_received(rest)

    def _refuse(self, code: FaultCode) -> None:
        """Close without an answer: whoever this is, it may not read HTTP."""
        self._shared.failed(self._shared.new_request_id(), 0, code, self.peer)
        self._abort()
