"""What goes over the byte path: requests that can be told apart wherever they turn up, and their answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from authz_sidecar.core.verdicts import Decision
from lab.simulation.asked import Asked

SAFE = frozenset({"GET", "HEAD"})
MARK = "x-case"
"""The field by which a service and a client know each other's messages."""


@dataclass(slots=True)
class Case:
    """One request of one client, and what became of it. Times in the world's seconds."""

    asked: Asked
    method: str
    target: str
    fields: Sequence[tuple[str, str]]
    body: bytes
    chunked: bool
    minor: int = 1
    decisions: list[Decision] = field(default_factory=list)
    revoked_at: float | None = None
    all_sent_at: float | None = None
    """When the client had sent the last byte of it."""
    arrivals: int = 0
    """How often its head reached the service."""
    answer: tuple[int, bytes] | None = None
    """What the service says in full: status and body."""
    stalls: bool = False
    """Its client never sends the end of it."""
    disturbed: bool = False
    """Its client or its service does what excuses an answer of the sidecar's own, or none."""

    @property
    def number(self) -> int:
        return self.asked.number

    @property
    def request_id(self) -> str:
        return f"b{self.number}"

    def head(self) -> bytes:
        lines = [f"{self.method} {self.target} HTTP/1.{self.minor}", "Host: students.test"]
        lines += [f"{name}: {value}" for name, value in self.fields]
        if self.chunked:
            lines.append("Transfer-Encoding: chunked")
        elif self.body or self.method not in SAFE:
            lines.append(f"Content-Length: {len(self.body)}")
        return "\r\n".join([*lines, "", ""]).encode()


def payload(number: int, size: int) -> bytes:
    """Bytes that say of which request they are."""
    word = b"<%d>" % number
    return (word * (size // len(word) + 1))[:size]
