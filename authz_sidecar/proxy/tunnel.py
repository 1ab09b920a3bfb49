"""An upgraded connection: bytes both ways, each direction at the pace of its receiver."""

from __future__ import annotations

from authz_sidecar.core.errors import UpstreamError
from authz_sidecar.proxy.client import Client
from authz_sidecar.proxy.upstream import UpstreamConnection, UpstreamUser


class Tunnel(UpstreamUser):
    """Joins a client and an upstream connection after a 101."""

    def __init__(self, client: Client, upstream: UpstreamConnection) -> None:
        self._client = client
        self._upstream = upstream
        self._client_done = False
        self._upstream_done = False

    @property
    def backlog_bytes(self) -> int:
        """What waits for the service to read."""
        return self._upstream.backlog_bytes

    def start(self, from_client: bytes) -> None:
        """Send on what had arrived before the tunnel stood."""
        early = self._upstream.become_tunnel(self)
        if early:
            self._client.write(early)
        if from_client:
            self._upstream.write(from_client)

    # from the client

    def client_data(self, data: bytes) -> None:
        self._upstream.write(data)

    def client_eof(self) -> None:
        self._client_done = True
        self._upstream.write_eof()
        self._close_if_done()

    def client_lost(self) -> None:
        self._upstream.close()

    def client_writable(self, writable: bool) -> None:
        self._upstream.set_reading(writable)

    # from the upstream

    def upstream_data(self, data: bytes) -> None:
        self._client.write(data)

    def upstream_eof(self) -> None:
        self._upstream_done = True
        self._client.write_eof()
        self._close_if_done()

    def upstream_failed(self, error: UpstreamError) -> None:
        self._client.close()

    def upstream_writable(self, writable: bool) -> None:
        self._client.set_reading(writable)

    def _close_if_done(self) -> None:
        if self._client_done and self._upstream_done:
            self._upstream.close()
            self._client.close()
