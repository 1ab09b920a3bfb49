"""Where the program listens: on one family, on both, on several addresses; with both of its ports."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from lab.stack.alone import Alone
from lab.wire.peers import Client, Upstream

GET = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


async def ask(host: str, port: int) -> bytes:
    async with await Client.connect(port, host=host) as client:
        await client.send(GET)
        return await client.closed()


@pytest.mark.parametrize("listen", ["[::]:{0}", "[0:0::0]:{0}", "127.0.0.1:{0},[::1]:{0}"])
async def test_both_families_with_one_sidecar(start: Callable[..., Alone], listen: str) -> None:
    upstream = Upstream()
    upstream.answer = OK
    await upstream.start()
    program = start(f"http://127.0.0.1:{upstream.port}", listen=listen)
    for host in ("127.0.0.1", "::1"):
        assert (await ask(host, program.port)).startswith(b"HTTP/1.1 200 "), host
        assert b"X-Forwarded-For: %b\r\n" % host.encode() in upstream.received
        assert (await ask(host, program.admin_port)).startswith(b"HTTP/1.1 200 "), host
    await upstream.stop()


async def test_a_socket_that_systemd_has_bound_is_served(start: Callable[..., Alone]) -> None:
    upstream = Upstream()
    upstream.answer = OK
    await upstream.start()
    with socket.create_server(("127.0.0.1", 0)) as bound:
        port = bound.getsockname()[1]
        async with await Client.connect(port, host="127.0.0.1") as client:
            await client.send(GET)  # before anything runs: it waits in the socket's queue
            start(f"http://127.0.0.1:{upstream.port}", activated=bound, HANDOVER_TIMEOUT=1)
            assert (await client.closed()).startswith(b"HTTP/1.1 200 ")
    await upstream.stop()
