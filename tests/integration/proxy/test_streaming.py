"""Bodies of any size pass in constant memory, at the pace of the slower side."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Iterator

import pytest

from authz_sidecar.config.limits import ProxyLimits
from lab.wire import Peer, Rig, running
from lab.wire.peers import wait_for

SIZE = 32 * 2**20
PIECE = b"0123456789abcdef" * 4096
BOUND = 4 * 2**20
"""Far above what one exchange may hold (some reads and high-water marks), far below SIZE."""
POST = b"POST /students/ HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer alice\r\n"
EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture
def memory() -> Iterator[None]:
    """Fails the test that allocates too much."""
    tracemalloc.start()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < BOUND


async def pour(peer: Peer, *, chunked: bool) -> None:
    piece = b"%x\r\n%b\r\n" % (len(PIECE), PIECE) if chunked else PIECE
    for _ in range(SIZE // len(PIECE)):
        await peer.send(piece)
    if chunked:
        await peer.send(b"0\r\n\r\n")


async def drink(peer: Peer, *, chunked: bool) -> int:
    """Read one body; its size."""
    await peer.contains(b"\r\n\r\n")
    body = peer.take().partition(b"\r\n\r\n")[2]
    total = len(body)
    tail = body[-5:]
    while (chunked and tail != b"0\r\n\r\n") or (not chunked and total < SIZE):
        data = await peer.read()
        total += len(data)
        tail = (tail + data)[-5:]
    return total


def framing(chunked: bool) -> bytes:
    return b"Transfer-Encoding: chunked\r\n\r\n" if chunked else b"Content-Length: %d\r\n\r\n" % SIZE


@pytest.mark.usefixtures("memory")
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
async def test_upload_to_a_slow_upstream(rig: Rig, chunked: bool) -> None:
    client = await rig.client()
    await client.send(POST + framing(chunked))
    sending = asyncio.create_task(pour(client, chunked=chunked))
    peer = await rig.upstream.accept()
    await wait_for(lambda: not client.writer.transport.is_closing() and rig.paused())
    assert not sending.done()  # the client is held back while the upstream reads nothing
    assert await drink(peer, chunked=chunked) >= SIZE
    await sending
    await peer.send(EMPTY)
    await client.contains(EMPTY)


@pytest.mark.usefixtures("memory")
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
async def test_download_to_a_slow_client(rig: Rig, chunked: bool) -> None:
    client = await rig.client()
    await client.send(POST + b"Content-Length: 0\r\n\r\n")
    peer = await rig.upstream.accept()
    await peer.contains(b"\r\n\r\n")
    await peer.send(b"HTTP/1.1 200 OK\r\n" + framing(chunked))
    sending = asyncio.create_task(pour(peer, chunked=chunked))
    await wait_for(rig.paused)
    assert not sending.done()
    assert await drink(client, chunked=chunked) >= SIZE
    await sending


async def test_the_next_exchange_is_not_held_back_by_the_one_before(rig: Rig) -> None:
    """A client that read its answer late finds both connections running again."""
    client = await rig.client()
    for _ in range(2):
        await client.send(POST + b"Content-Length: 0\r\n\r\n")
        peer = rig.upstream.peers[0] if rig.upstream.peers else await rig.upstream.accept()
        await peer.contains(b"\r\n\r\n")
        peer.take()
        size = 20 * len(PIECE)
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        sending = asyncio.create_task(peer.send(PIECE * 20))
        await client.contains(b"\r\n\r\n")
        await client.until(lambda received: len(received.partition(b"\r\n\r\n")[2]) == 20 * len(PIECE))
        client.take()
        await sending
    assert len(rig.upstream.peers) == 1


async def test_a_body_that_comes_while_the_decision_waits_is_held_back(rig: Rig) -> None:
    rig.permissions.gate.clear()
    client = await rig.client()
    await client.send(POST + framing(chunked=False))
    sending = asyncio.create_task(pour(client, chunked=False))
    await wait_for(rig.paused)
    assert not sending.done()
    rig.permissions.gate.set()
    assert await drink(await rig.upstream.accept(), chunked=False) == SIZE
    await sending


LARGE = b"HTTP/1.1 200 OK\r\nContent-Length: 65536\r\n\r\n" + bytes(65536)
FLOODS = {
    "answers": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 400,
    "refusals": b"DELETE /students/1/ HTTP/1.1\r\nHost: x\r\n\r\n" * 30_000,
}
"""Each asks for far more than the kernel's buffers hold."""


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS.keys())
async def test_a_client_that_asks_and_does_not_read_is_not_answered_ahead(flood: bytes) -> None:
    patient = ProxyLimits(connect_seconds=60)  # a busy machine takes its time between two turns
    async with running(patient, answer=LARGE) as rig:
        greedy, other = await rig.client(), await rig.client()
        greedy.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await greedy.send(flood)
        for _ in range(100):  # turns of the event loop in which it could be served
            await other.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await other.until(lambda received: len(received) == len(LARGE))
            other.take()
        answered = len(rig.observer.answers)
        assert 100 < answered < flood.count(b"HTTP/1.1") / 2
        greedy.writer.transport.resume_reading()  # type: ignore[attr-defined]
        while len(rig.observer.answers) == answered:
            await greedy.read()
