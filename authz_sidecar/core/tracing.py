"""What the byte path tells of one request to who traces it (W3C Trace Context, level 1)."""

from __future__ import annotations

import re
from typing import Final, NamedTuple, Protocol

from authz_sidecar.core.fields import Fields
from authz_sidecar.core.verdicts import Decision, RequestHead

TRACEPARENT: Final = b"traceparent"
_TRACEPARENT: Final = re.compile(rb"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")


class Parent(NamedTuple):
    """The span of whoever sent the request."""

    trace_id: int
    span_id: int
    sampled: bool


class Span(Protocol):
    """One request. Instants are Unix seconds."""

    @property
    def trace_id(self) -> str:
        """In 32 hexadecimal digits."""

    @property
    def traceparent(self) -> bytes:
        """What the service is told of it."""

    def step(self, name: str, at: float, **attributes: str | int | float | bool) -> None:
        """It has come so far."""

    def decided(self, decision: Decision, at: float) -> None:
        """A decision was reached."""

    def ended(self, status: int, at: float) -> None:
        """It was answered so; nothing more will be told of it."""


class Tracer(Protocol):
    """Where spans come from."""

    def begin(self, head: RequestHead, request_id: str, at: float, *, trusted: bool) -> Span | None:
        """A request arrived; `None`: it is not traced. `trusted`: its peer may say that it is to be."""


def parent(request: Fields) -> Parent | None:
    """The span that a request names, if it names one well-formed."""
    values = request.values(TRACEPARENT)
    found = _TRACEPARENT.fullmatch(values[0]) if len(values) == 1 else None
    if found is None:
        return None
    return Parent(int(found[1], 16), int(found[2], 16), bool(int(found[3], 16) & 1))


def pass_on(request: Fields, traceparent: bytes) -> None:
    """Have the service told of our span instead of the client's."""
    kept = [field for field in request.kept if field[0].lower() != TRACEPARENT]
    request.kept = [*kept, (TRACEPARENT, traceparent)]
