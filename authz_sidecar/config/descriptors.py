"""File descriptors: a connection of a client may need two, and the admin port must never be without one."""

from __future__ import annotations

import logging
import resource
from dataclasses import replace

from authz_sidecar.config.limits import ProxyLimits
from authz_sidecar.core.errors import ConfigurationError, Problem

logger = logging.getLogger(__name__)

RESERVE = 64
"""For everything but clients and the service: the admin port, dependencies, listeners, logs."""


def fitting(limits: ProxyLimits, ports: int = 1) -> ProxyLimits:
    """The limits that the process can keep, after its soft limit of descriptors was raised as far as need be.

    `ports`: how many of them take so many connections each; one of them passes requests on.
    A connection without a descriptor is reset by the kernel, and the admin port's would be among them.
    """
    each = 1 + ports
    needed = each * limits.connections + RESERVE
    allowed = _raised(needed)
    if needed <= allowed:
        return limits
    connections = max(1, int(allowed - RESERVE) // each)
    logger.warning(
        "AUTHZ_MAX_CONNECTIONS is %d, and only %d fit into the limit of %d file descriptors; "
        "raise the hard limit (ulimit -Hn) to %d",
        limits.connections,
        connections,
        allowed,
        needed,
    )
    upstream = min(limits.upstream_connections, connections)
    return replace(limits, connections=connections, upstream_connections=upstream)


def demand(workers: int) -> None:
    """Raises ConfigurationError when a process cannot hold a connection to each of so many workers."""
    allowed = _raised(workers + RESERVE)
    if workers + RESERVE > allowed:
        message = (
            f"only {max(1, int(allowed) - RESERVE)} fit into the limit of {allowed:g} file descriptors; "
            f"take fewer, or raise the hard limit (ulimit -Hn) to {workers + RESERVE}"
        )
        raise ConfigurationError([Problem("AUTHZ_WORKERS", message)])


def _raised(needed: int) -> float:
    """The soft limit, raised to `needed` where the hard one allows it."""
    soft, hard = (_number(limit) for limit in resource.getrlimit(resource.RLIMIT_NOFILE))
    wanted = min(needed, hard)
    if soft >= wanted:
        return soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (int(wanted), resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    return wanted


def _number(limit: int) -> float:
    return float("inf") if limit == resource.RLIM_INFINITY else limit
