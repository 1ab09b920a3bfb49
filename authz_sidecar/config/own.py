"""Whether an address leads back to this very process: a request sent there would come in again for ever."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address

from authz_sidecar.config.addresses import Address, UpstreamAddress

_IP = IPv4Address | IPv6Address


def reaches(upstream: UpstreamAddress, listening: Iterable[Address]) -> bool:
    """Asks for names only where a port of ours is meant. A name that nobody knows leads nowhere."""
    same_port = [address for address in listening if address.port and address.port == upstream.port]
    if upstream.path is not None or not same_port:
        return False
    there = {_local_if_any(ip) for ip in _resolved(upstream.host)}
    return any(_takes(host, there) for address in same_port for host in address.hosts)


def _takes(host: str, there: set[_IP]) -> bool:
    for ip in _resolved(host):
        if ip in there:
            return True
        if ip.is_unspecified and any(each.version == ip.version and _is_local(each) for each in there):
            return True
    return False


def _resolved(host: str) -> set[_IP]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return set()
    return {_plain(ip_address(str(address[0]).partition("%")[0])) for *_, address in found}


def _plain(ip: _IP) -> _IP:
    return getattr(ip, "ipv4_mapped", None) or ip


def _local_if_any(ip: _IP) -> _IP:
    """Who connects to "any address" gets to this machine's loopback."""
    if not ip.is_unspecified:
        return ip
    return ip_address("127.0.0.1" if ip.version == 4 else "::1")


def _is_local(ip: _IP) -> bool:
    """Whether it is an address of this machine: only those can be bound."""
    if ip.is_loopback:
        return True
    family = socket.AF_INET if ip.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family) as tried:
            tried.bind((str(ip), 0))
    except OSError:
        return False
    return True
