"""What one client, or thousands of them, can make the proxy hold, and how long it can keep it from others."""

from __future__ import annotations

import asyncio
import gc
import socket
import tracemalloc
from contextlib import suppress

import pytest

from authz_sidecar.config.limits import ProxyLimits
from authz_sidecar.core.verdicts import FaultCode
from authz_sidecar.proxy.departures import departed
from authz_sidecar.proxy.downstream import MOST_A_TURN, Downstream
from authz_sidecar.proxy.exchange import Exchange
from authz_sidecar.proxy.messages import IncomingRequest
from authz_sidecar.proxy.proxied import ProxiedDownstream
from authz_sidecar.proxy.request_reader import RequestReader
from authz_sidecar.proxy.response_reader import ResponseReader
from authz_sidecar.proxy.upstream import UpstreamConnection
from lab.wire import Rig, running
from lab.wire.peers import Peer, wait_for
from lab.wire.rig import PATIENT

EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
REFUSED = b"DELETE /students/1/ HTTP/1.1\r\nHost: x\r\n\r\n"


async def test_a_client_that_pipelines_refusals_lets_the_loop_turn() -> None:
    """However many requests are there at once, others have their turn between a few of them."""
    async with running() as rig:
        turns, client = 0, await rig.client()
        most, before = 0, 0

        def turn() -> None:
            nonlocal turns, most, before
            most, before = max(most, len(rig.observer.answers) - before), len(rig.observer.answers)
            turns += 1
            if before < 1000:
                asyncio.get_running_loop().call_soon(turn)

        turn()
        sending = asyncio.create_task(client.send(REFUSED * 1000))
        await client.until(lambda received: received.count(b"HTTP/1.1 401") == 1000)
        await sending
        assert 0 < most <= MOST_A_TURN


async def test_who_leaves_while_nothing_is_read_is_noticed(rig: Rig) -> None:
    """Or a connection to the service would be held for nobody, as long as the service may be silent."""
    client = await rig.client()
    await client.send(GET * 1000)
    peer = await rig.upstream.accept()
    await peer.contains(b"\r\n\r\n")
    await wait_for(rig.paused)
    client.reset()
    await peer.closed()
    assert rig.observer.answers == [499]


async def test_the_kernel_keeps_little_for_who_reads_nothing(rig: Rig) -> None:
    """What it took would be counted nowhere."""
    loop = asyncio.get_running_loop()
    with socket.socket() as client:
        client.setblocking(False)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await loop.sock_connect(client, ("127.0.0.1", rig.port))
        await loop.sock_sendall(client, GET)
        peer = await rig.upstream.accept()
        peer.writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n" + bytes(2_000_000))
        await wait_for(rig.paused)
        (there,) = rig.server.clients
        await wait_for(lambda: there.backlog_bytes)


async def test_who_only_sends_no_more_still_has_its_answers(rig: Rig) -> None:
    client = await rig.client()
    await client.send(GET * 2)
    peer = await rig.upstream.accept()
    await peer.contains(b"\r\n\r\n")
    await wait_for(rig.paused)
    client.eof()
    (there,) = rig.server.clients
    assert departed([there]) == []
    await peer.send(EMPTY)
    await peer.until(lambda received: received.count(GET[:14]) == 2)
    await peer.send(EMPTY)
    assert (await client.rest()).count(b"200 OK") == 2


async def test_fields_are_counted_while_they_come(rig: Rig) -> None:
    client = await rig.client()
    await client.send(b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a:b\r\n" * 255)
    await wait_for(lambda: rig.server.clients)
    await client.send(b"a:b\r\na:")
    assert b" 431 " in await client.rest()


async def test_a_head_that_never_ends_takes_little_more_than_its_bytes() -> None:
    async with running(ProxyLimits(head_fields=10_000, connect_seconds=60)) as rig:
        head = b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a:b\r\n" * 8_000
        client = await rig.client()
        tracemalloc.start()
        try:
            await client.send(head)
            await wait_for(lambda: rig.server.clients and rig.server.clients[0]._reader.overhead)
            await wait_for(lambda: rig.server.clients[0]._reader.overhead == len(head))
            gc.collect()
            held = sum(
                trace.size
                for trace in tracemalloc.take_snapshot()
                .filter_traces([tracemalloc.Filter(True, "*/proxy/*.py")])
                .statistics("filename")
            )
        finally:
            tracemalloc.stop()
        assert held <= 2 * len(head)


async def test_a_request_that_is_answered_leaves_nothing_behind() -> None:
    head = b"GET / HTTP/1.1\r\nHost: x\r\n" + b"x" * 50_000 + b": 1\r\n\r\n"
    async with running(answer=b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") as rig:
        client = await rig.client()
        tracemalloc.start()
        try:
            await client.send(head)
            await client.contains(b"ok")
            gc.collect()
            traces = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, "*/proxy/*.py")])
        finally:
            tracemalloc.stop()
        assert sum(trace.size for trace in traces.statistics("filename")) <= 10_000


@pytest.mark.parametrize("size", [1, 100, 300, 700, 1500, 5000])
@pytest.mark.parametrize("stays", [True, False])
async def test_changes_that_come_at_once_all_go_on_whole(size: int, stays: bool) -> None:
    """Wherever what has been read was cut: nothing more may come that would have it looked at again."""
    head = b"POST /students/ HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer alice\r\nContent-Length: %d\r\n\r\n"
    async with running(PATIENT, answer=b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") as rig:
        client = await rig.client()
        await client.send((head % size + b"x" * size) * 30)
        if not stays:
            client.eof()
        await client.until(lambda received: received.count(b"200 OK") == 30)


OF_A_CONNECTION = (Downstream, RequestReader, Exchange, IncomingRequest, UpstreamConnection, ResponseReader)
ENDINGS = {
    "after an answer": (GET, EMPTY),
    "with more behind a request": (GET * 1000, b""),
    "in a head": (GET[:-2], b""),
    "in a body": (
        b"POST /students/ HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer alice\r\nContent-Length: 9\r\n\r\nx",
        b"",
    ),
    "in an answer": (GET, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"),
    "after a refusal": (REFUSED, b""),
    "after nonsense": (b"\0" * 100, b""),
}


@pytest.mark.parametrize(("sent", "answer"), ENDINGS.values(), ids=ENDINGS)
async def test_a_connection_that_has_ended_is_no_garbage(rig: Rig, sent: bytes, answer: bytes) -> None:
    """Nobody has to look for it before its memory is free: it holds what it held until then."""
    gc.collect()
    gc.disable()
    try:
        client = await rig.client()
        await client.send(sent)
        if sent.startswith((b"GET", b"POST")) and sent.count(b"\r\n\r\n"):
            peer = await rig.upstream.accept()
            await peer.contains(b"\r\n\r\n")
            await peer.send(answer)
            if answer:
                await client.contains(b"200 OK")
        client.reset()
        await wait_for(lambda: not rig.server.connections)
        await asyncio.sleep(0)
        kept = [id(each) for each in rig.shared.pool.connections]
        kept += [id(each.reader) for each in rig.shared.pool.connections]
        left = [
            type(each).__name__
            for each in gc.get_objects()
            # What another test left may be a proxy of what is gone, which says so when asked what it is.
            if issubclass(type(each), OF_A_CONNECTION) and id(each) not in kept
        ]
    finally:
        gc.enable()
    assert left == []


class Gone:
    """A transport of a connection whose peer had left before it was accepted."""

    aborted = False

    def get_extra_info(self, name: str) -> object:
        return None

    def abort(self) -> None:
        self.aborted = True


@pytest.mark.parametrize("kind", [Downstream, ProxiedDownstream])
async def test_a_peer_that_is_gone_before_it_is_accepted_is_nobody(rig: Rig, kind: type[Downstream]) -> None:
    transport, protocol = Gone(), kind(rig.shared)
    protocol.connection_made(transport)  # type: ignore[arg-type]  # as much of one as is looked at
    protocol.connection_lost(None)
    assert transport.aborted
    assert (rig.server.clients, rig.observer.answers, rig.observer.failures) == ([], [], [])


MIB = 1024 * 1024
SMALL = ProxyLimits(buffer_bytes=MIB, connect_seconds=60)
SMALL_GET = b"GET /small HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /students/ HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer alice\r\nContent-Length: %d\r\n\r\n"


async def served(rig: Rig) -> None:
    """A usual request is answered as ever."""
    before = len(rig.upstream.peers)
    client = await rig.client()
    await client.send(SMALL_GET)
    peer = await rig.upstream.accept()
    await peer.contains(b"/small")
    await peer.send(b"HTTP/1.1 200 Fine\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    await client.contains(b"200 Fine")
    assert len(rig.upstream.peers) == before + 1


async def test_heads_that_never_end_share_one_budget() -> None:
    async with running(SMALL) as rig:
        head = b"GET / HTTP/1.1\r\nHost: x\r\n" + b"".join(
            b"a%d: %s\r\n" % (n, b"x" * 500) for n in range(100)
        )
        fit = rig.shared.budget.total_bytes // len(head)
        clients = [await rig.client() for _ in range(fit + 5)]
        for client in clients[:fit]:
            await client.send(head)
        await wait_for(lambda: rig.shared.budget.taken_bytes >= fit * len(head))
        for client in clients[fit:]:
            await client.send(head)
        for client in clients[fit:]:
            answer = await client.closed()
            assert answer.startswith(b"HTTP/1.1 503 ")
            assert b"buffers_full" in answer
        await served(rig)
        for client in clients[:fit]:
            assert client.received == b""
            client.reset()
        await wait_for(lambda: rig.shared.budget.taken_bytes == 0)


async def test_answers_that_nobody_reads_share_one_budget() -> None:
    async with running(SMALL) as rig:
        block = bytes(MIB)

        async def send(peer: Peer) -> None:
            with suppress(ConnectionError):
                await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
                for _ in range(100):
                    await peer.send(block)

        sending = []
        for _ in range(20):
            client = await rig.client()
            client.writer.transport.pause_reading()
            await client.send(SMALL_GET)
            sending.append(asyncio.create_task(send(await rig.upstream.accept())))
        await wait_for(lambda: rig.observer.failures)
        assert {failure.code for failure in rig.observer.failures} == {FaultCode.BUFFERS_FULL}
        assert 0 < rig.shared.budget.taken_bytes <= MIB
        await served(rig)
        for client in rig.clients:
            client.reset()
        await asyncio.gather(*sending)
        await wait_for(lambda: rig.shared.budget.taken_bytes == 0)


async def test_bodies_that_wait_for_a_decision_share_one_budget() -> None:
    async with running(SMALL) as rig:
        rig.permissions.gate.clear()
        for _ in range(30):
            await (await rig.client()).send(POST % 1_000_000 + bytes(100_000))
        await wait_for(lambda: rig.observer.failures)
        assert {failure.code for failure in rig.observer.failures} == {FaultCode.BUFFERS_FULL}
        assert rig.shared.budget.taken_bytes <= MIB
        await served(rig)
        for client in rig.clients:
            client.reset()
        rig.permissions.gate.set()  # whose body has to wait is not read from, and only then seen to have left
        await wait_for(lambda: not rig.server.clients)
        assert rig.shared.budget.taken_bytes == 0
