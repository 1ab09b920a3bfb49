"""Addresses: where to listen, where the protected service is, whom to trust, and URLs.

Parsers raise ValueError with the mend as message, and never repeat the text: it may hold a secret.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

Network = IPv4Network | IPv6Network


class Address(NamedTuple):
    """Where to listen. Port 0 asks the system for a free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        return self.host == "localhost" or (is_ip(self.host) and ip_address(self.host).is_loopback)

    @property
    def hosts(self) -> tuple[str, ...]:
        """What to bind. `[::]` stands for all addresses, those of IPv4 among them; each family has its own
        socket, so that a client of IPv4 has an address of IPv4 here.
        """
        every = is_ip(self.host) and ip_address(self.host) == ip_address("::")
        return ("0.0.0.0", "::") if every else (self.host,)  # noqa: S104 (it was asked for)


class UpstreamAddress(NamedTuple):
    """Where the protected service listens: host and port, or the path of a Unix socket."""

    host: str
    port: int
    path: str | None = None
    tls: bool = False

    @classmethod
    def parse(cls, text: str) -> UpstreamAddress:
        """From `http://host[:port]`, `https://host[:port]` or `unix:/path`."""
        if text.startswith("unix:"):
            if not re.fullmatch(r"unix:/[!-~]+", text):
                raise ValueError("must have an absolute path after unix:, like unix:/run/service.sock")
            return cls("localhost", 0, path=text.removeprefix("unix:"))
        parts = urlsplit(origin(text))
        tls = parts.scheme == "https"
        return cls(parts.hostname or "", parts.port or (443 if tls else 80), tls=tls)

    def __str__(self) -> str:
        return f"unix:{self.path}" if self.path else self.authority

    @property
    def authority(self) -> str:
        """The Host of a request that came without one."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}" if self.port else host


def is_ip(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def address(text: str) -> Address:
    match = re.fullmatch(r"\[([0-9A-Fa-f:.]+)\]:(\d{1,5})|([^\s:\[\]]+):(\d{1,5})", text, re.ASCII)
    if match is None:
        raise ValueError("must be host:port or [IPv6]:port, for example 127.0.0.1:8080")
    host, port = match[1] or match[3], int(match[2] or match[4])
    if match[1] and not is_ip(host):
        raise ValueError("must have an IPv6 address between the brackets")
    if port > 65535:
        raise ValueError("must have a port between 0 and 65535")
    return Address(host, port)


def listeners(text: str) -> tuple[Address, ...]:
    """One address to listen on, or several that are separated by commas."""
    found = tuple(map(address, items(text) or [text]))
    sockets = [(host, each.port) for each in found for host in each.hosts if each.port]
    if len(set(sockets)) < len(sockets):
        raise ValueError("must not name an address twice ([::] includes 0.0.0.0)")
    return found


def listeners_or_none(text: str) -> tuple[Address, ...]:
    """As `listeners`; nothing is nowhere."""
    return listeners(text) if text else ()


def any_url(text: str) -> str:
    return _url(text).geturl()


def base_url(text: str) -> str:
    """Without a final slash."""
    if "?" in text:
        raise ValueError("must not contain a query (?)")
    return _url(text).geturl().rstrip("/")


def origin(text: str) -> str:
    url = base_url(text)
    if urlsplit(url).path:
        raise ValueError("must be scheme://host[:port] without a path")
    return url


def origins(text: str) -> frozenset[str]:
    """Separated by commas; `*` stands for any."""
    return frozenset("*" if item == "*" else origin(item) for item in items(text))


def scheme(*schemes: str) -> Callable[[str], str]:
    """A URL for a library of which only the scheme is ours to check."""

    def parse(text: str) -> str:
        scheme, separator, rest = text.partition("://")
        if scheme not in schemes or not separator or not rest:
            raise ValueError(f"must be a URL that starts with {' or '.join(s + '://' for s in schemes)}")
        return text

    return parse


def networks(text: str) -> tuple[Network, ...]:
    try:
        return tuple(ip_network(item) for item in items(text))
    except ValueError as error:
        raise ValueError("must be addresses or networks like 10.0.0.0/8, separated by commas") from error


def items(text: str) -> list[str]:
    """What stands between commas."""
    return [item.strip() for item in text.split(",") if item.strip()]


def _url(text: str) -> SplitResult:
    """An absolute http(s) URL without what a client would silently drop or leak."""
    if not text.isascii() or any(c.isspace() or not c.isprintable() or c == "\\" for c in text):
        raise ValueError("must not contain spaces, backslashes, control or non-ASCII characters")
    url = urlsplit(text)
    if url.scheme not in {"http", "https"} or not url.hostname:
        raise ValueError("must be an http:// or https:// URL with a host")
    if "@" in url.netloc:
        raise ValueError("must not contain a user name or password")
    if "#" in text:
        raise ValueError("must not contain a fragment (#)")
    try:
        _ = url.port
    except ValueError:
        raise ValueError("must have a port between 0 and 65535") from None
    return url
