"""How much of anything the byte path takes, and how long it waits."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProxyLimits:
    """Sizes in bytes, times in seconds. A time bounds silence, not the length of a transfer."""

    head_bytes: int = 64 * 1024
    head_fields: int = 256
    target_bytes: int = 16 * 1024
    body_bytes: int | None = None
    """`None`: any size; bodies are never held, so this protects the upstream, not the sidecar."""
    high_water_bytes: int = 64 * 1024
    """What may wait in one direction of one connection before its source is paused."""
    connections: int = 20_000
    upstream_connections: int = 1_000

    head_seconds: float = 10.0
    """From the first byte of a request's head to its last."""
    body_seconds: float = 60.0
    idle_seconds: float = 75.0
    write_seconds: float = 60.0
    """A client that reads nothing for so long while bytes wait for it is cut off."""
    linger_seconds: float = 2.0
    """How long a client that still sends may take to read an early answer."""
    connect_seconds: float = 5.0
    response_seconds: float = 60.0
    upstream_idle_seconds: float = 30.0
    drain_seconds: float = 20.0
    """How long requests under way may take to end after a stop signal."""
