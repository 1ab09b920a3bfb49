"""The connection to a client, as an exchange and a tunnel know it."""

from __future__ import annotations

from abc import ABCMeta, abstractmethod

from authz_sidecar.core import headers
from authz_sidecar.core.fields import FieldList, Fields
from authz_sidecar.proxy.connection import Connection, Outbox
from authz_sidecar.proxy.deadlines import NEVER
from authz_sidecar.proxy.upstream import UpstreamConnection


class Client(Connection, metaclass=ABCMeta):
    """Answers are written to it; what it does with requests is its own affair."""

    def __init__(self, outbox: Outbox) -> None:
        super().__init__(outbox)
        self.peer = ""
        """The client's address, as far as it is known."""
        self.scheme = "http"
        self.trusted = False
        """Whether its forwarding headers are believed."""
        self.keep_alive = True
        """Whether another request may follow the one under way."""
        self.deadline = NEVER

    def forwarded(self, fields: Fields, request_id: str) -> FieldList:
        """The fields of a request as they go on to the service, which learns from them who asks."""
        return headers.forwarded_request(
            fields,
            request_id=request_id,
            peer=self.peer,
            scheme=self.scheme,
            peer_trusted=self.trusted,
        )

    # for the exchange and the tunnel

    @abstractmethod
    def update(self) -> None:
        """Whether the exchange takes more of the request may have changed."""

    @abstractmethod
    def set_reading(self, reading: bool) -> None:
        """Pause while the upstream is slow, and go on."""

    @abstractmethod
    def exchange_done(self) -> None:
        """The answer is written in full."""

    @abstractmethod
    def become_tunnel(self, upstream: UpstreamConnection) -> None:
        """HTTP is over: splice this connection with the upstream's."""

    @abstractmethod
    def close(self) -> None:
        """Close after what is written has been sent."""

    # for the server

    @property
    @abstractmethod
    def idle(self) -> bool:
        """Whether no request is under way."""

    @abstractmethod
    def drain(self) -> None:
        """End after the request under way; at once without one."""

    @abstractmethod
    def expire(self) -> None:
        """The deadline has passed."""
