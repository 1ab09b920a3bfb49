"""What the readers make of received bytes: messages that fill up while they arrive."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from authz_sidecar.answers import Fault
from authz_sidecar.core.fields import FieldList, Fields

IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
"""Methods of requests that a client may send again when the answer was lost (RFC 9110 §9.2.2)."""


PIECE_BYTES: Final = 48
"""What a piece of a body takes in memory beside its bytes."""


class Framing(Enum):
    """How the end of a body is known (RFC 9112 §6.3)."""

    NONE = auto()
    LENGTH = auto()
    CHUNKED = auto()
    CLOSE = auto()


# By these names, because an enumeration looks its members up each time they are named.
NONE: Final = Framing.NONE
LENGTH: Final = Framing.LENGTH
CHUNKED: Final = Framing.CHUNKED
CLOSE: Final = Framing.CLOSE


class Message:
    """A head, and a body of which only what was not yet taken is held.

    What is rare stays on the class until it happens: a message is made twice a request.
    """

    framing: Framing = NONE
    length = 0
    """What Content-Length says; 0 without one."""
    complete = False
    body_bytes = 0
    """About the memory that what has arrived of a request's body takes."""
    trailers: FieldList = []  # noqa: RUF012 (replaced, never changed)

    def __init__(self, minor: int, fields: Fields, *, keep_alive: bool) -> None:
        self.minor = minor
        """HTTP/1.x"""
        self.fields = fields
        self.keep_alive = keep_alive
        self.body: list[bytes] = []

    def take_body(self) -> bytes:
        """What has arrived since the last call."""
        body = self.body
        taken = body[0] if len(body) == 1 else b"".join(body)
        body.clear()
        self.body_bytes = 0
        return taken


class IncomingRequest(Message):
    """A request from a client."""

    upgrade = False
    """It asks to continue as WebSocket; what follows its head is not HTTP until that is settled."""
    received = 0
    """Body bytes so far."""
    held_bytes = 0
    """About the memory that its head takes."""
    fault: Fault | None = None

    def __init__(self, method: str, target: bytes, minor: int, fields: Fields, *, keep_alive: bool) -> None:
        super().__init__(minor, fields, keep_alive=keep_alive)
        self.method = method
        self.target = target


class IncomingResponse(Message):
    """A final response from the upstream, or a 101."""

    def __init__(self, status: int, reason: bytes, minor: int, fields: Fields, *, keep_alive: bool) -> None:
        super().__init__(minor, fields, keep_alive=keep_alive)
        self.status = status
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Interim:
    """An informational response (1xx, but not 101)."""

    status: int
    reason: bytes
    fields: Fields
