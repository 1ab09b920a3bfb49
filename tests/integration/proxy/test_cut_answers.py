"""An answer that ends with its connection looks whole wherever it is cut, unless the cut is a reset.

Only clients of HTTP/1.0 are answered like that; all others get a length or chunks. The clock is set ahead
once everything is as the test wants it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from authz_sidecar.config.limits import ProxyLimits
from lab import DEADLINE
from lab.wire import Client, Peer, Rig, running
from lab.wire.peers import wait_for
from lab.wire.rig import PATIENT

GET = b"GET / HTTP/1.0\r\n\r\n"
POST = b"POST /students/ HTTP/1.0\r\nAuthorization: Bearer alice\r\nContent-Length: 6\r\n\r\nabc"
HEAD = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
HOUR = 3600.0
ROOMY = ProxyLimits(connect_seconds=DEADLINE, high_water_bytes=2**26)
"""All of an answer is taken from the service, whatever the client reads."""


async def begun(rig: Rig, request: bytes) -> tuple[Client, Peer]:
    """A request whose client reads no further than the first bytes of its answer."""
    client = await rig.client()
    await client.send(request)
    peer = await rig.upstream.accept()
    await peer.contains(request[-3:])
    await peer.send(HEAD + b"first")
    await client.contains(b"first")
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]  # asyncio's base class lacks it
    return client, peer


async def all_sent_by_the_service(rig: Rig, peer: Peer) -> None:
    await peer.send(bytes(2**25))
    peer.close()
    await wait_for(lambda: rig.observer.answers)


async def while_the_service_still_sends(rig: Rig) -> Client:
    client, peer = await begun(rig, GET)
    peer.writer.write(bytes(2**26))
    await wait_for(rig.paused)
    rig.clock.ahead = HOUR
    return client


async def after_the_service_has_sent_all(rig: Rig) -> Client:
    client, peer = await begun(rig, GET)
    await all_sent_by_the_service(rig, peer)
    rig.clock.ahead = HOUR
    return client


async def while_the_client_still_sends(rig: Rig) -> Client:
    client, peer = await begun(rig, POST)
    await all_sent_by_the_service(rig, peer)
    rig.clock.ahead = HOUR
    return client


async def by_a_client_that_sends_no_more(rig: Rig) -> Client:
    client, _ = await begun(rig, POST)
    client.eof()
    return client


@pytest.mark.parametrize(
    "cut",
    [
        while_the_service_still_sends,
        after_the_service_has_sent_all,
        while_the_client_still_sends,
        by_a_client_that_sends_no_more,
    ],
)
async def test_an_answer_that_is_cut_does_not_look_whole(cut: Callable[[Rig], Awaitable[Client]]) -> None:
    async with running(PATIENT if cut is while_the_service_still_sends else ROOMY) as rig:
        client = await cut(rig)
        await wait_for(lambda: not rig.server.clients)
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]  # asyncio's base class lacks it
        with pytest.raises(ConnectionError):
            await client.rest()


async def test_half_a_request_takes_nothing_from_the_answer_before_it() -> None:
    """Its client sends no more: what it is owed is sent first."""
    size = 2**25
    async with running(ROOMY) as rig:
        client = await rig.client()
        await client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + POST)
        peer = await rig.upstream.accept()
        await peer.contains(b"\r\n\r\n")
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]  # asyncio's base class lacks it
        client.eof()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + bytes(size))
        await wait_for(lambda: rig.observer.answers)
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]  # asyncio's base class lacks it
        assert (await client.rest()).endswith(bytes(size))
        with pytest.raises(ConnectionError):  # nor may the half be taken for a whole one
            await peer.rest()
