"""A trusted proxy names the client before the first request, and nobody else may."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from lab import DEADLINE
from lab.stack.binaries import require
from lab.stack.process import Process, free_port, wait_for
from lab.wire import Client, Rig, running
from lab.wire.peers import wait_for as until

GET = b"GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 203.0.113.9\r\nConnection: close\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
V1 = b"PROXY TCP4 %b 127.0.0.1 4660 80\r\n"
V2 = b"\r\n\r\n\0\r\nQUIT\n"
LOCAL = V2 + b"\x20\x00\x00\x00"
NAMED = V2 + b"\x21\x11\x00\x0c" + bytes([192, 0, 2, 1, 127, 0, 0, 1]) + b"\x12\x34\x00\x50"


@asynccontextmanager
async def proxied(*trusted: str) -> AsyncIterator[Rig]:
    async with running(answer=OK, trusts=set(trusted).__contains__, proxy_protocol=True) as rig:
        yield rig


def forwarded_for(rig: Rig) -> list[bytes]:
    lines = rig.upstream.received.split(b"\r\n")
    return [line.partition(b": ")[2] for line in lines if line.startswith(b"X-Forwarded-For")]


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        pytest.param(V1 % b"192.0.2.1", b"192.0.2.1", id="v1"),
        pytest.param(NAMED, b"192.0.2.1", id="v2"),
        # The client is itself a proxy that is trusted: what it forwards is kept.
        pytest.param(V1 % b"192.0.2.7", b"203.0.113.9, 192.0.2.7", id="trusted-client"),
        pytest.param(LOCAL, b"127.0.0.1", id="local"),
        pytest.param(b"PROXY UNKNOWN\r\n", b"127.0.0.1", id="unknown"),
    ],
)
async def test_the_client_is_the_one_that_is_named(header: bytes, wanted: bytes) -> None:
    async with proxied("127.0.0.1", "192.0.2.7") as rig:
        assert b"200 OK" in await rig.ask(header + GET)
        assert forwarded_for(rig) == [wanted]


async def test_the_header_may_come_in_pieces() -> None:
    async with proxied("127.0.0.1") as rig:
        client = await rig.client()
        for byte in NAMED + GET[:5]:
            await client.send(bytes([byte]))
        await client.send(GET[5:])
        assert b"200 OK" in await client.rest()
        assert forwarded_for(rig) == [b"192.0.2.1"]


async def test_only_the_first_bytes_of_a_connection_name_the_client() -> None:
    async with proxied("127.0.0.1") as rig:
        answer = await rig.ask(NAMED + NAMED + GET)
        assert answer.startswith(b"HTTP/1.1 501 ")  # not even a method
        assert not rig.upstream.peers


@pytest.mark.parametrize("data", [GET, b"PROXY TCP9 \r\n" + GET, V2 + b"\x11\x11\0\0" + GET])
async def test_without_a_header_the_connection_is_closed(data: bytes) -> None:
    async with proxied("127.0.0.1") as rig:
        client = await rig.client()
        await client.send(data)
        assert await client.closed() == b""
        assert [(each.status, each.code) for each in rig.observer.failures] == [(0, "proxy_header_malformed")]
        assert not rig.upstream.peers


async def test_nobody_but_a_trusted_proxy_may_connect() -> None:
    async with proxied("192.0.2.7") as rig:
        async with await Client.connect(rig.port) as client:
            assert await client.closed() == b""
        assert [(each.code, each.peer) for each in rig.observer.failures] == [
            ("proxy_not_trusted", "127.0.0.1")
        ]
        assert not rig.upstream.peers


async def test_half_a_header_and_the_end() -> None:
    async with proxied("127.0.0.1") as rig:
        assert await rig.ask(NAMED[:20]) == b""
        assert not rig.upstream.peers


async def test_without_the_setting_a_header_is_no_request() -> None:
    async with running(answer=OK, trusts=lambda _: True) as rig:
        client = await rig.client()
        await client.send(V1 % b"192.0.2.1" + GET)
        assert (await client.rest()).startswith(b"HTTP/1.1 ")
        assert not rig.upstream.peers


HAPROXY = """
global
    maxconn 16
defaults
    mode http
    timeout connect 60s
    timeout client 60s
    timeout server 60s
frontend in
    bind 127.0.0.1:{port}
    default_backend sidecar
backend sidecar
    server one 127.0.0.1:{sidecar} source 127.0.0.2 {option}
"""


@contextmanager
def haproxy(directory: Path, sidecar: int, option: str) -> Iterator[int]:
    port = free_port()
    config = directory / "haproxy.cfg"
    config.write_text(HAPROXY.format(port=port, sidecar=sidecar, option=option))
    process = Process([require("haproxy"), "-db", "-f", config], log_path=directory / "log")
    process.start()
    try:
        wait_for(lambda: _listens(port), DEADLINE, "HAProxy", process)
        yield port
    finally:
        process.stop()


def _listens(port: int) -> bool:
    return f"0100007F:{port:04X} 00000000:0000 0A" in Path("/proc/net/tcp").read_text()


@pytest.mark.parametrize(
    "option", ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options unique-id,crc32c"]
)
async def test_haproxy_in_front(tmp_path: Path, option: str) -> None:
    """HAProxy connects from 127.0.0.2, its client from 127.0.0.1."""
    async with proxied("127.0.0.2") as rig:
        with haproxy(tmp_path, rig.port, option) as port:
            async with await Client.connect(port) as client:
                await client.send(GET)
                assert b"200 OK" in await client.rest()
        assert forwarded_for(rig) == [b"127.0.0.1"]


async def test_health_checks_of_haproxy(tmp_path: Path) -> None:
    """It then speaks for itself: LOCAL."""
    async with proxied("127.0.0.2") as rig:
        with haproxy(tmp_path, rig.port, "send-proxy-v2 check inter 100ms\n    option httpchk GET /health"):
            await until(lambda: b"GET /health" in rig.upstream.received)
        assert forwarded_for(rig)[0] == b"127.0.0.2"
        # A check that HAProxy broke off has no peer any more when its connection is taken up.
        assert {failure.peer for failure in rig.observer.failures} <= {""}
