"""The PROXY protocol, versions 1 and 2 (HAProxy's proxy-protocol.txt §2): who a proxy relays. No I/O here."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, NamedTuple

MAX_V1_BYTES: Final = 107
MAX_V2_BYTES: Final = 4096
"""The specification allows 64 KiB of extensions; proxies send less than 1 KiB."""

_V1: Final = b"PROXY "
_V2: Final = b"\r\n\r\n\0\r\nQUIT\n"
_V2_FIXED_BYTES: Final = 16
_V2_LOCAL, _V2_PROXY = 0x20, 0x21
_V2_UNKNOWN, _V2_UNIX = 0x00, 0x31
_V2_ADDRESS_BYTES: Final = {0x11: 4, 0x21: 16}
"""TCP over IPv4 and over IPv6."""
_UNIX_BYTES: Final = 216
_V1_VERSIONS: Final = {b"TCP4": 4, b"TCP6": 6}


class BadHeader(ValueError):
    """The bytes do not begin with a PROXY header."""


class Header(NamedTuple):
    """What a header says. The bytes after the first `size` are the client's."""

    client: str | None
    """The client's IP address; `None`: the proxy speaks for itself (a health check) or does not know."""
    size: int


def parse(data: bytes) -> Header | None:
    """The header at the start of a connection's first bytes; `None`: more are needed. Raises BadHeader."""
    if _begins(data, _V1):
        return _parse_v1(data)
    if _begins(data, _V2):
        return _parse_v2(data)
    raise BadHeader("this is no PROXY header")


def _begins(data: bytes, signature: bytes) -> bool:
    """Whether `data`, be it only a part of the signature so far, can be that version."""
    return data[: len(signature)] == signature[: len(data)]


def _parse_v1(data: bytes) -> Header | None:
    line, end, _ = data[:MAX_V1_BYTES].partition(b"\r\n")
    if not end:
        if len(data) >= MAX_V1_BYTES:
            raise BadHeader("the line does not end")
        return None
    size = len(line) + len(end)
    words = line.split(b" ")
    if words[1] == b"UNKNOWN":  # whatever follows it is to be ignored
        return Header(None, size)
    if len(words) != 6 or words[1] not in _V1_VERSIONS:
        raise BadHeader("the line is malformed")
    client, _server = (_address(word, _V1_VERSIONS[words[1]]) for word in words[2:4])
    if not all(word.isdigit() and len(word) <= 5 and int(word) <= 65535 for word in words[4:]):
        raise BadHeader("a port is malformed")
    return Header(client, size)


def _address(word: bytes, version: int) -> str:
    try:
        address = ip_address(word.decode("ascii"))
    except ValueError:
        raise BadHeader("an address is malformed") from None
    if address.version != version or "%" in str(address):
        raise BadHeader("an address is of another family")
    return _plain(address)


def _plain(address: IPv4Address | IPv6Address) -> str:
    """An IPv4 address that was mapped into IPv6 is that IPv4 address."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


def _parse_v2(data: bytes) -> Header | None:
    if len(data) < _V2_FIXED_BYTES:
        return None
    command, family = data[12], data[13]
    size = _V2_FIXED_BYTES + int.from_bytes(data[14:16], "big")
    if command not in (_V2_LOCAL, _V2_PROXY):
        raise BadHeader("the version or the command is not known")
    if size > MAX_V2_BYTES:
        raise BadHeader("the header is too long")
    if len(data) < size:
        return None
    if command == _V2_LOCAL or family == _V2_UNKNOWN:
        return Header(None, size)
    return Header(_v2_client(family, data[_V2_FIXED_BYTES:size]), size)


def _v2_client(family: int, addresses: bytes) -> str | None:
    """The source address stands first; both addresses and both ports have to be there."""
    length = _V2_ADDRESS_BYTES.get(family)
    if length is None and family != _V2_UNIX:
        raise BadHeader("the address family is not one of streams")
    if len(addresses) < (_UNIX_BYTES if length is None else 2 * length + 4):
        raise BadHeader("the addresses are cut off")
    return None if length is None else _plain(ip_address(addresses[:length]))
