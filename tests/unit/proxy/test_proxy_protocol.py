"""The PROXY protocol's header: read whole, in any pieces, and never guessed."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz_sidecar.proxy.proxy_protocol import MAX_V1_BYTES, MAX_V2_BYTES, BadHeader, Header, parse

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V4 = bytes([192, 0, 2, 1, 198, 51, 100, 2]) + b"\x12\x34\x01\xbb"
V6 = IPv6Address("2001:db8::1").packed + IPv6Address("2001:db8::2").packed + b"\x12\x34\x01\xbb"


def v2(command: int, family: int, payload: bytes) -> bytes:
    return SIGNATURE + bytes([command, family]) + len(payload).to_bytes(2, "big") + payload


WHOLE = [
    (b"PROXY TCP4 192.0.2.1 198.51.100.2 4660 443\r\n", "192.0.2.1"),
    (b"PROXY TCP6 2001:DB8::1 2001:db8::2 0 65535\r\n", "2001:db8::1"),
    (b"PROXY TCP6 ::ffff:192.0.2.1 ::ffff:198.51.100.2 1 2\r\n", "192.0.2.1"),
    (b"PROXY TCP6 ::FFFF:c000:201 2001:db8::2 1 2\r\n", "192.0.2.1"),
    (b"PROXY UNKNOWN\r\n", None),
    (b"PROXY UNKNOWN ffff::1 anything at all\r\n", None),
    (v2(0x21, 0x11, V4), "192.0.2.1"),
    (v2(0x21, 0x11, V4 + b"\x04\x00\x01x"), "192.0.2.1"),  # with an extension
    (v2(0x21, 0x21, V6), "2001:db8::1"),
    (v2(0x21, 0x21, IPv6Address("::ffff:192.0.2.1").packed + V6[16:]), "192.0.2.1"),
    (v2(0x21, 0x31, bytes(216)), None),
    (v2(0x21, 0x00, b""), None),
    (v2(0x20, 0x00, b""), None),
    (v2(0x20, 0x11, V4), None),  # LOCAL: the addresses are to be ignored
]


@pytest.mark.parametrize(("header", "client"), WHOLE)
def test_a_header_names_the_client_and_ends_where_http_begins(header: bytes, client: str | None) -> None:
    for size in range(len(header)):
        assert parse(header[:size]) is None
    for rest in (b"", b"GET / HTTP/1.1\r\n", header):
        assert parse(header + rest) == Header(client, len(header))


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"proxy TCP4",
        b"PROXY\tTCP4",
        b"\r\n\r\nGET / ",
        b"PROXY \r\n",
        b"PROXY TCP4\r\n",
        b"PROXY TCP5 192.0.2.1 192.0.2.2 1 2\r\n",
        b"PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
        b"PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 +2\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 \xb2\r\n",
        b"PROXY TCP4 192.0.2.01 192.0.2.2 1 2\r\n",
        b"PROXY TCP4 localhost 192.0.2.2 1 2\r\n",
        b"PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
        b"PROXY TCP6 fe80::1%eth0 2001:db8::2 1 2\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n" + b" " * MAX_V1_BYTES,
        b"PROXY UNKNOWN" + b" " * MAX_V1_BYTES + b"\r\n",
        v2(0x11, 0x11, V4),
        v2(0x22, 0x11, V4),
        v2(0x21, 0x12, V4),  # UDP
        v2(0x21, 0x41, V4),
        v2(0x21, 0x01, V4),
        v2(0x21, 0x11, V4[:-1]),
        v2(0x21, 0x21, V4),
        v2(0x21, 0x31, V6),
        v2(0x21, 0x11, V4 + bytes(MAX_V2_BYTES))[:16],
    ],
)
def test_what_is_no_header_is_refused(data: bytes) -> None:
    with pytest.raises(BadHeader):
        parse(data)


ADDRESSES = st.one_of(
    st.tuples(st.just((b"TCP4", 0x11)), st.ip_addresses(v=4), st.ip_addresses(v=4)),
    st.tuples(st.just((b"TCP6", 0x21)), st.ip_addresses(v=6), st.ip_addresses(v=6)),
)
PORTS = st.integers(0, 65535)


@given(ADDRESSES, PORTS, PORTS, st.binary(max_size=40), st.booleans())
def test_every_client_is_found_in_every_split(
    addresses: tuple[tuple[bytes, int], IPv4Address | IPv6Address, IPv4Address | IPv6Address],
    source_port: int,
    port: int,
    rest: bytes,
    binary: bool,
) -> None:
    (word, family), source, target = addresses
    if binary:
        ports = source_port.to_bytes(2, "big") + port.to_bytes(2, "big")
        header = v2(0x21, family, source.packed + target.packed + ports)
    else:
        header = b"PROXY %b %b %b %d %d\r\n" % (
            word, str(source).encode(), str(target).encode(), source_port, port
        )  # fmt: skip
    data = header + rest
    for size in range(len(data) + 1):
        wanted = (
            Header(str(getattr(source, "ipv4_mapped", None) or source), len(header))
            if size >= len(header)
            else None
        )
        assert parse(data[:size]) == wanted


@given(
    st.binary(max_size=300),
    st.sampled_from([b"", b"PROXY ", SIGNATURE, SIGNATURE + b"\x21\x11"]),
)
def test_arbitrary_bytes_are_read_alike_however_they_come(data: bytes, start: bytes) -> None:
    """Once there is a verdict, more bytes do not change it; and it never takes more than its bounds."""
    data = start + data
    verdicts: list[object] = []
    for size in range(len(data) + 1):
        try:
            verdicts.append(parse(data[:size]))
        except BadHeader:
            verdicts.append(BadHeader)
    first = next((at for at, verdict in enumerate(verdicts) if verdict is not None), len(verdicts))
    assert len(set(map(str, verdicts[first:]))) <= 1
    assert all(not isinstance(verdict, Header) or verdict.size <= len(data) for verdict in verdicts)
