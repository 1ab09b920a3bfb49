"""How much of anything the byte path takes, and how long it waits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from authz_sidecar.config.parsers import boolean, count, repeatable_methods, seconds
from authz_sidecar.config.setting import group, setting

MIB = 1024 * 1024
TIMEOUT = seconds(0.1, 86400)


@group
class ProxyLimits:
    """Sizes in bytes, times in seconds. A time bounds silence, not the length of a transfer."""

    target_bytes: int = setting(
        "AUTHZ_MAX_TARGET_BYTES", count(256, MIB), "longest request target, else 414", default="16384"
    )
    head_bytes: int = setting(
        "AUTHZ_MAX_HEAD_BYTES", count(1024, MIB), "largest request head, else 431", default="65536"
    )
    head_fields: int = setting(
        "AUTHZ_MAX_HEAD_FIELDS", count(8, 10_000), "most header fields, else 431", default="256"
    )
    body_bytes: int | None = setting(
        "AUTHZ_MAX_BODY_BYTES",
        count(0, 10**15),
        "largest request body, else 413 (unset: any; bodies pass through and are never held)",
        default=None,
    )
    connections: int = setting(
        "AUTHZ_MAX_CONNECTIONS", count(1), "most connections of clients, else 503", default="20000"
    )
    buffer_bytes: int = setting(
        "AUTHZ_BUFFER_BUDGET",
        count(MIB),
        "bytes that all clients together may fill beyond what usual requests take, else 503",
        default=str(64 * MIB),
    )
    upstream_connections: int = setting(
        "AUTHZ_MAX_UPSTREAM_CONNECTIONS",
        count(1),
        "most connections to the service; requests without a verified token get three quarters of them",
        default="1000",
    )
    head_seconds: float = setting(
        "AUTHZ_HEAD_TIMEOUT", TIMEOUT, "seconds a request's head may take, else 408", default="10"
    )
    body_seconds: float = setting(
        "AUTHZ_BODY_TIMEOUT", TIMEOUT, "seconds of silence in a request's body, else 408", default="60"
    )
    idle_seconds: float = setting(
        "AUTHZ_IDLE_TIMEOUT", TIMEOUT, "seconds a client may be idle between two requests", default="75"
    )
    connect_seconds: float = setting(
        "AUTHZ_CONNECT_TIMEOUT",
        TIMEOUT,
        "seconds to reach the service, queueing included, else 504",
        default="5",
    )
    response_seconds: float = setting(
        "AUTHZ_RESPONSE_TIMEOUT", TIMEOUT, "seconds of silence of the service, else 504", default="60"
    )
    upstream_idle_seconds: float = setting(
        "AUTHZ_UPSTREAM_IDLE_TIMEOUT", TIMEOUT, "seconds a connection to it is kept unused", default="30"
    )
    retry_methods: frozenset[str] = setting(
        "AUTHZ_RETRY_METHODS",
        repeatable_methods,
        "methods of requests that are sent once more, over a new connection, when the service has ended a "
        "kept one without an answer (empty: none; `PUT` and `DELETE` may be added)",
        default="GET,HEAD,OPTIONS",
        empty_counts=True,
    )
    end_with_token: bool = setting(
        "AUTHZ_END_WITH_TOKEN",
        boolean,
        "whether a WebSocket or an event stream ends when the token expires that let it begin",
        default="true",
    )
    drain_seconds: float = setting(
        "AUTHZ_DRAIN_TIMEOUT",
        TIMEOUT,
        "seconds that requests may take to end after a stop signal",
        default="20",
    )

    high_water_bytes: int = 4 * 1024
    """What may wait in one direction of one connection before its source is paused, beside the kernel's."""
    write_seconds: float = 60.0
    """A client that reads nothing for so long while bytes wait for it is cut off."""
    linger_seconds: float = 2.0
    """How long a client that still sends may take to read an early answer."""


def divided(limits: ProxyLimits, workers: int) -> Iterator[ProxyLimits]:
    """What each of so many processes may take, so that together they take exactly as much."""
    for number in range(workers):
        yield replace(
            limits,
            connections=_share(limits.connections, workers, number),
            upstream_connections=_share(limits.upstream_connections, workers, number),
            buffer_bytes=_share(limits.buffer_bytes, workers, number),
        )


def _share(whole: int, parts: int, number: int) -> int:
    return whole // parts + (number < whole % parts)
