"""What the readers make of received bytes: messages that fill up while they arrive."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto

from authz_sidecar.core.headers import Fields


class Framing(Enum):
    """How the end of a body is known (RFC 9112 §6.3)."""

    NONE = auto()
    LENGTH = auto()
    CHUNKED = auto()
    CLOSE = auto()


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a request is answered by the byte path itself: it is not one, or it is over a limit."""

    status: int
    code: str
    detail: str


@dataclass(slots=True)
class Message:
    """Fields, and a body of which only what was not yet taken is held."""

    minor: int
    """HTTP/1.x"""
    fields: Fields
    keep_alive: bool
    framing: Framing = Framing.NONE
    length: int = 0
    """What Content-Length says; 0 without one."""
    complete: bool = False
    trailers: Fields = field(default_factory=list)
    body: list[bytes] = field(default_factory=list)

    def take_body(self) -> bytes:
        """What has arrived since the last call."""
        body = self.body
        if not body:
            return b""
        taken = body[0] if len(body) == 1 else b"".join(body)
        body.clear()
        return taken


@dataclass(slots=True)
class IncomingRequest(Message):
    """A request from a client."""

    method: str = ""
    target: bytes = b""
    te: bytes = b""
    """All that TE says, in lower case."""
    upgrade: bool = False
    """It asks to continue as WebSocket; what follows its head is not HTTP until that is settled."""
    received: int = 0
    """Body bytes so far."""
    fault: Fault | None = None


@dataclass(slots=True)
class IncomingResponse(Message):
    """A final response from the upstream, or a 101."""

    status: int = 0
    reason: bytes = b""


@dataclass(frozen=True, slots=True)
class Interim:
    """An informational response (1xx, but not 101)."""

    status: int
    reason: bytes
    fields: Fields
