"""Which upstream connection a request goes to, and who gets the next one."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from authz_sidecar.config.addresses import UpstreamAddress
from authz_sidecar.config.limits import ProxyLimits
from authz_sidecar.proxy.upstream import UpstreamConnection
from lab import DEADLINE
from lab.wire import Client, Peer, Rig, running
from lab.wire.certificates import Contexts
from lab.wire.peers import wait_for

GET = b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /open/%d HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
PUT = b"PUT /students/%d/ HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer alice\r\nContent-Length: 0\r\n\r\n"
EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
UNENDED = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"
ONE = ProxyLimits(upstream_connections=1)


async def served(client: Client, peer: Peer, request: bytes) -> None:
    """The upstream hears this request on this connection, and answers it."""
    await peer.contains(request.partition(b" HTTP")[0] + b" ")
    peer.take()
    await peer.send(EMPTY)
    await client.contains(EMPTY)
    client.take()


@pytest.mark.parametrize(
    ("request_", "reuses"), [(GET, True), (PUT, True), (POST, False)], ids=["GET", "PUT", "POST"]
)
async def test_what_may_not_be_sent_twice_avoids_a_connection_that_may_be_ending(
    rig: Rig, request_: bytes, reuses: bool
) -> None:
    client = await rig.client()
    await client.send(GET % 1)
    first = await rig.upstream.accept()
    await served(client, first, GET % 1)
    rig.clock.ahead += 0.9
    await client.send(POST % 2)
    await served(client, first, POST % 2)
    rig.clock.ahead += 1.1
    await client.send(request_ % 3)
    await served(client, first if reuses else await rig.upstream.accept(), request_ % 3)


async def test_an_old_connection_makes_room_for_a_new_one() -> None:
    async with running(ONE) as rig:
        client = await rig.client()
        await client.send(GET % 1)
        first = await rig.upstream.accept()
        await served(client, first, GET % 1)
        rig.clock.ahead += 1.1
        await client.send(POST % 2)
        await served(client, await rig.upstream.accept(), POST % 2)
        await first.closed()


async def test_old_connections_make_room_for_all_who_wait() -> None:
    """Although none of these answers ever ends, and so nobody gives a connection back."""
    async with running(ProxyLimits(connect_seconds=DEADLINE, upstream_connections=3)) as rig:
        clients = [await rig.client() for _ in range(3)]
        for number, client in enumerate(clients):
            await client.send(GET % number)
        kept = [await rig.upstream.accept() for _ in clients]
        for peer in kept:
            await peer.send(EMPTY)
        for client in clients:
            await client.contains(EMPTY)
        rig.clock.ahead += 1.1
        for number, client in enumerate(clients):
            await client.send(POST % number)
        for _ in clients:
            await (await rig.upstream.accept()).contains(b"POST")


async def test_who_leaves_the_queue_takes_nobodys_turn() -> None:
    async with running(ONE) as rig:
        busy, leaver, waiter = [await rig.client() for _ in range(3)]
        for number, client in enumerate((busy, leaver, waiter), 1):
            await client.send(GET % number)
            await wait_for(lambda number=number: len(rig.observer.decisions) == number)
        leaver.reset()
        await wait_for(lambda: rig.observer.answers == [499])
        peer = await rig.upstream.accept()
        await served(busy, peer, GET % 1)
        await served(waiter, peer, GET % 3)


async def test_a_lost_connection_makes_room_for_who_waits() -> None:
    async with running(ONE) as rig:
        unlucky, waiter = await rig.client(), await rig.client()
        await unlucky.send(GET % 1)
        peer = await rig.upstream.accept()
        await waiter.send(GET % 2)
        peer.reset()
        await unlucky.contains(b"HTTP/1.1 502 ")
        await served(waiter, await rig.upstream.accept(), GET % 2)


async def test_an_upstream_that_comes_back_is_found(tmp_path: Path) -> None:
    path = str(tmp_path / "upstream.sock")
    async with running(answer=EMPTY, unix_path=path) as rig:
        client = await rig.client()

        async def ask(wanted: bytes) -> None:
            await client.send(GET % 1)
            await client.contains(wanted)
            client.take()

        await ask(EMPTY)
        await rig.upstream.stop()
        await ask(b"HTTP/1.1 502 ")
        await rig.upstream.start(path)
        await ask(EMPTY)


async def test_an_upstream_that_accepts_nobody_is_504() -> None:
    """Its backlog is full, so that the kernel leaves even the connection unanswered."""
    async with running(ProxyLimits(connect_seconds=0.1)) as rig:
        await rig.upstream.stop()
        address = ("127.0.0.1", rig.upstream.port)
        with socket.create_server(address, backlog=0), socket.create_connection(address):
            assert (await rig.ask(GET % 1)).startswith(b"HTTP/1.1 504 ")
        assert [each.code for each in rig.observer.failures] == ["upstream_timeout"]


async def test_anonymous_requests_leave_connections_to_those_who_prove_who_they_are() -> None:
    """Each of theirs hangs; the place of one that ends goes to the next of them."""
    async with running(ProxyLimits(connect_seconds=DEADLINE, upstream_connections=4)) as rig:
        hanging = [await rig.exchanged(GET % number, UNENDED) for number in range(3)]
        waiting = await rig.client()
        await waiting.send(GET % 3)
        await wait_for(lambda: len(rig.observer.decisions) == 4)
        known = await rig.client()
        await known.send(PUT % 4)
        await served(known, await rig.upstream.accept(), PUT % 4)
        hanging[0][0].reset()
        peer = await rig.upstream.accept()
        await served(waiting, peer, GET % 3)
        again = await rig.client()
        await again.send(GET % 5)
        await served(again, peer, GET % 5)


@pytest.mark.parametrize("unix", [False, True])
async def test_who_leaves_as_a_connection_is_made_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, unix: bool
) -> None:
    """Or clients who come and leave would take up all places, for ever."""
    async with running(unix_path=str(tmp_path / "upstream.sock") if unix else None) as rig:
        pool, made = rig.shared.pool, UpstreamConnection.connection_made

        def and_leaves(connection: UpstreamConnection, transport: asyncio.BaseTransport) -> None:
            made(connection, transport)
            asking.cancel()

        monkeypatch.setattr(UpstreamConnection, "connection_made", and_leaves)
        asking = asyncio.create_task(pool.acquire("GET", new=False, anonymous=True))
        await asyncio.wait([asking])
        assert asking.cancelled()
        await (await rig.upstream.accept()).closed()
        await wait_for(lambda: not pool.connections)


async def test_who_leaves_while_tls_is_agreed_on_leaves_nothing_behind(contexts: Contexts) -> None:
    async with running(upstream_tls=contexts) as rig:
        await rig.upstream.stop()
        await rig.upstream.start()  # it never answers a hello
        pool = rig.shared.pool
        pool.address = UpstreamAddress.parse(f"https://localhost:{rig.upstream.port}")
        client = await rig.client()
        await client.send(GET % 1)
        peer = await rig.upstream.accept()
        await peer.contains(b"\x16")
        client.reset()
        assert (await peer.closed())[:1] == b"\x16"


async def test_one_that_is_being_made_is_not_counted_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who comes between its being made and its being used has a place of his own."""
    async with running(ProxyLimits(upstream_connections=2)) as rig:
        pool, made = rig.shared.pool, UpstreamConnection.connection_made
        second: list[asyncio.Task[UpstreamConnection]] = []

        def comes_then(connection: UpstreamConnection, transport: asyncio.BaseTransport) -> None:
            made(connection, transport)
            if not second:
                asking = pool.acquire("GET", new=False, anonymous=False)
                second.append(asyncio.get_running_loop().create_task(asking))

        monkeypatch.setattr(UpstreamConnection, "connection_made", comes_then)
        first = await pool.acquire("GET", new=False, anonymous=False)
        async with asyncio.timeout(DEADLINE):
            assert await second[0] is not first
