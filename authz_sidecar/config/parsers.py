"""Parsers of settings: text, as a user writes it, becomes a value.

They raise ValueError with the mend as message, and never repeat the text: it may be a secret.
"""

from __future__ import annotations

import math
import re
import ssl
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from authz_sidecar.config import tls

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


def any_url(text: str) -> str:
    return _url(text).geturl()


def base_url(text: str) -> str:
    if "?" in text:
        raise ValueError("must not contain a query (?)")
    return _url(text).geturl().rstrip("/")


def origin(text: str) -> str:
    url = base_url(text)
    if urlsplit(url).path:
        raise ValueError("must be scheme://host[:port] without a path")
    return url


def upstream(text: str) -> str:
    if not text.startswith("unix:"):
        return origin(text)
    if not re.fullmatch(r"unix:/[!-~]+", text):
        raise ValueError("must have an absolute path after unix:, like unix:/run/service.sock")
    return text


def readable_file(text: str) -> Path:
    path = Path(text)
    try:
        path.open("rb").close()
    except OSError as error:
        raise ValueError(f"must be a file that can be read: {error.strerror}") from error
    return path


def authorities(text: str) -> ssl.SSLContext:
    """A client's context that trusts these authorities alone and checks the server's name."""
    path = readable_file(text)
    try:
        return tls.client(path)
    except ssl.SSLError as error:
        raise ValueError("must hold certificates in PEM form") from error


def server_identity(certificate: Path, key: Path) -> ssl.SSLContext:
    """A server's context with this certificate chain and its private key."""

    def no_passphrase() -> str:
        raise ValueError("must not be encrypted: nobody is there to give the passphrase")

    context = tls.server()
    try:
        context.load_cert_chain(certificate, key, no_passphrase)
    except ssl.SSLError as error:
        raise ValueError(
            "must be the PEM private key of the certificate in AUTHZ_TLS_CERT, which must be PEM, too"
        ) from error
    return context


def origins(text: str) -> frozenset[str]:
    return frozenset("*" if item == "*" else origin(item) for item in _items(text))


def scheme(*schemes: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        scheme, separator, rest = text.partition("://")
        if scheme not in schemes or not separator or not rest:
            raise ValueError(f"must be a URL that starts with {' or '.join(s + '://' for s in schemes)}")
        return text

    return parse


def seconds(low: float, high: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        value = _number(text)
        if not low <= value <= high:
            raise ValueError(f"must be a number of seconds from {low:g} to {high:g}")
        return value

    return parse


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan


def fraction(text: str) -> float:
    value = _number(text)
    if not 0 <= value <= 1:
        raise ValueError("must be a number from 0 to 1")
    return value


def count(least: int, most: int = 999_999_999) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,18}", text) or not least <= int(text) <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return int(text)

    return parse


def choice(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"must be {' or '.join(choices)}")
        return text

    return parse


def boolean(text: str) -> bool:
    return choice("true", "false")(text.lower()) == "true"


def printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must not contain control characters")
    return text


def credential(text: str) -> str:
    if not re.fullmatch(r"[!-~]+", text):
        raise ValueError("must be visible ASCII characters without spaces")
    return text


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def networks(text: str) -> tuple[Network, ...]:
    try:
        return tuple(ip_network(item) for item in _items(text))
    except ValueError as error:
        raise ValueError("must be addresses or networks like 10.0.0.0/8, separated by commas") from error


_SIGNATURES = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)


def algorithms(text: str) -> frozenset[str]:
    algorithms = frozenset(_items(text))
    if not algorithms or not algorithms <= _SIGNATURES:
        raise ValueError(
            f"must be some of {','.join(sorted(_SIGNATURES))} (no HMAC, no 'none': not public-key signatures)"
        )
    return algorithms


_UNFIT_TOKEN_HEADERS = frozenset({"connection", "content-length", "cookie", "host", "transfer-encoding"})


def token_header(text: str) -> str:
    # Names with "_" are dropped on every request, so a token could never arrive in one.
    if not re.fullmatch(r"[A-Za-z0-9-]+", text) or text.lower() in _UNFIT_TOKEN_HEADERS:
        raise ValueError("must be a header name of letters, digits and '-' that can carry a token")
    return text.lower()


def prefix(text: str) -> str:
    if not re.fullmatch(r"[\w.:-]{1,64}", text, re.ASCII):
        raise ValueError("must be 1 to 64 letters, digits or ._:-")
    return text
