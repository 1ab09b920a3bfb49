"""Who is silent for too long when it is their turn is answered, then cut off.

The clock is set ahead once everything is as the test wants it: short limits would trip on a busy machine.
"""

from __future__ import annotations

import asyncio

import pytest

from authz_sidecar.config.limits import ProxyLimits
from lab.wire import Peer, running
from lab.wire.peers import wait_for

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /students/ HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer alice\r\nContent-Length: 9\r\n\r\n"
HOUR = 3600.0
EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize("begun", [b"G", b"GET / HTTP/1.1\r\nHost: x\r\n"])
async def test_an_unfinished_head_is_408(begun: bytes) -> None:
    async with running() as rig:
        client = await rig.client()
        await client.send(begun)
        await wait_for(lambda: rig.server.clients)
        rig.clock.ahead = HOUR
        assert (await client.rest()).startswith(b"HTTP/1.1 408 ")


async def test_an_unfinished_head_that_came_with_the_request_before_it_is_408() -> None:
    async with running(ProxyLimits(head_seconds=0.1), answer=EMPTY) as rig:
        client = await rig.client()
        await client.send(GET + b"GET / HTTP/1.1\r\nHost: x\r\n")
        answers = await client.rest()
        assert answers.startswith(EMPTY + b"HTTP/1.1 408 ")


async def test_dripping_a_head_does_not_extend_its_time() -> None:
    async with running() as rig:
        client = await rig.client()
        await client.send(b"GET / HTTP/1.1\r\n")
        answer = asyncio.create_task(client.rest())
        while not answer.done():
            await client.send(b"X: y\r\n")
            rig.clock.ahead += 0.2
            await asyncio.sleep(0.01)
        assert answer.result().startswith(b"HTTP/1.1 408 ")


async def test_an_unfinished_body_is_408() -> None:
    async with running() as rig:
        client = await rig.client()
        await client.send(POST + b"abc")
        peer = await rig.upstream.accept()
        await peer.contains(b"abc")
        rig.clock.ahead = HOUR
        assert (await client.rest()).startswith(b"HTTP/1.1 408 ")
        await peer.closed()


async def test_an_idle_connection_is_closed_without_a_word() -> None:
    async with running(answer=EMPTY) as rig:
        unused, used = await rig.client(), await rig.client()
        await used.send(GET)
        await used.contains(EMPTY)
        await wait_for(lambda: len(rig.server.clients) == 2)
        rig.clock.ahead = HOUR
        assert await used.rest() == EMPTY
        assert await unused.rest() == b""


async def test_a_silent_upstream_is_504() -> None:
    async with running() as rig:
        client = await rig.client()
        await client.send(GET)
        peer = await rig.upstream.accept()
        await peer.contains(b"\r\n\r\n")
        rig.clock.ahead = HOUR
        assert (await client.contains(b"\r\n\r\n")).startswith(b"HTTP/1.1 504 ")
        await peer.closed()


async def test_an_upstream_that_falls_silent_cuts_the_response() -> None:
    async with running() as rig:
        client = await rig.client()
        await client.send(GET)
        peer = await rig.upstream.accept()
        await peer.contains(b"\r\n\r\n")
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
        await client.contains(b"abc")
        rig.clock.ahead = HOUR
        with pytest.raises(ConnectionError):
            await client.rest()


async def test_no_place_in_the_pool_in_time_is_504() -> None:
    limits = ProxyLimits(upstream_connections=1, connect_seconds=2.0)
    async with running(limits) as rig:
        first, second = await rig.client(), await rig.client()
        await first.send(GET)
        peer = await rig.upstream.accept()
        await second.send(GET)
        assert (await second.contains(b"\r\n\r\n")).startswith(b"HTTP/1.1 504 ")
        await peer.contains(b"\r\n\r\n")
        await peer.send(EMPTY)
        await first.contains(EMPTY)


async def test_a_client_that_reads_nothing_is_cut_off() -> None:
    async with running() as rig:
        client = await rig.client()
        await client.send(GET)
        peer = await rig.upstream.accept()
        await peer.contains(b"\r\n\r\n")
        size = 64 * 2**20
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        sending = asyncio.create_task(_send_for_ever(peer))
        await wait_for(rig.paused)
        rig.clock.ahead = HOUR
        with pytest.raises(ConnectionError):
            await sending
        await wait_for(lambda: not rig.server.clients)


async def test_idle_upstream_connections_are_closed() -> None:
    async with running(answer=EMPTY) as rig:
        assert await rig.ask(GET) == EMPTY
        rig.clock.ahead = HOUR
        await rig.upstream.peers[0].gone.wait()


async def _send_for_ever(peer: Peer) -> None:
    while True:
        await peer.send(bytes(2**16))
