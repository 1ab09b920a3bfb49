"""What is written waits for the end of the event loop's turn: what may happen before it."""

from __future__ import annotations

import asyncio
import socket
import ssl
from pathlib import Path

import pytest

from authz_sidecar.config.addresses import UpstreamAddress
from authz_sidecar.core.entities import EntityKey
from lab.wire import Client, Peer, Rig, running
from lab.wire.certificates import self_signed
from lab.wire.peers import wait_for

GET = b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /students/ HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer alice\r\nContent-Length: %d\r\n\r\n"
DELETE = b"DELETE /students/1/ HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer alice\r\n\r\n"
LENGTH = len(b"XX" + DELETE)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def warm(rig: Rig) -> tuple[Client, Peer]:
    """A client, and the kept connection over which its first request went."""
    client, peer = await rig.exchanged(GET % 0, OK)
    client.take()
    peer.take()
    return client, peer


async def test_the_rest_of_a_body_never_becomes_a_request(tmp_path: Path) -> None:
    """An early answer comes together with the end of its connection, while the body's last piece waits."""
    path = tmp_path / "server.pem"
    path.write_bytes(b"".join(self_signed()))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path)
    async with running(upstream_tls=(server, ssl.create_default_context(cafile=str(path)))) as rig:
        client, first = await warm(rig)
        await client.send(b"POST /open/a HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\nXX" % LENGTH)
        await first.contains(b"XX")
        with client.raw_socket() as sending:
            sending.send(DELETE + GET % 1)
            first.writer.write(OK)
            first.close()
        await client.contains(b"ok")
        ends = asyncio.create_task(client.closed())
        await wait_for(lambda: len(rig.upstream.peers) == 2 or b" 502 " in client.received or ends.done())
        for later in rig.upstream.peers[1:]:
            assert (await later.contains(b"\r\n\r\n")).startswith(b"GET /1 ")
        ends.cancel()


async def test_a_body_goes_on_after_a_decision_that_waited(rig: Rig) -> None:
    client, peer = await warm(rig)
    rig.permissions.gate.clear()
    await client.send(POST % 6 + b"abc")
    await wait_for(rig.paused)
    await client.send(b"def")
    rig.permissions.gate.set()
    await peer.contains(b"abcdef")


async def test_what_is_revoked_before_it_was_sent_is_not_sent(rig: Rig) -> None:
    """The kept connection ends as the request comes, and the next one takes its time."""
    client, first = await warm(rig)
    with (
        socket.create_server(("127.0.0.1", 0), backlog=0) as full,
        socket.create_connection(full.getsockname()),
    ):
        rig.shared.pool.address = UpstreamAddress(*full.getsockname())
        with client.raw_socket() as sending, first.raw_socket() as ending:
            sending.send(DELETE)
            ending.shutdown(socket.SHUT_WR)
        await wait_for(lambda: rig.shared.revocable and not rig.shared.pool.connections)
        rig.permissions.grants["alice"].clear()
        rig.server.reconsider([EntityKey("user", "alice")])
        assert (await client.contains(b"\r\n\r\n")).startswith(b"HTTP/1.1 403 ")
        assert b"DELETE" not in first.received


@pytest.mark.parametrize("size", [0, 20_000, 60_000])
async def test_a_request_of_any_size_leaves_a_connection_that_has_ended(rig: Rig, size: int) -> None:
    client, first = await warm(rig)
    with client.raw_socket() as sending, first.raw_socket() as ending:
        sending.send(POST % size + bytes(size))
        ending.shutdown(socket.SHUT_WR)
    second = await rig.upstream.accept()
    await second.until(lambda received: len(received.partition(b"\r\n\r\n")[2]) == size)
    await second.send(OK)
    await client.contains(OK)


async def test_who_reads_nothing_is_noticed_though_the_next_request_has_no_connection_yet() -> None:
    """Two requests at a time; the answer that fills the client's buffer is behind the first of them."""
    endless = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
    head = endless[:-2] + b"Content-Length: %d\r\n\r\n"
    answers = (head % 8000 + bytes(8000), head % 0)
    async with running() as rig:
        client = await rig.client()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await wait_for(lambda: rig.server.clients)
        (connection,) = rig.server.clients
        for answered in range(2, 10_000, 2):
            await client.send(GET * 2 % (1, 2))
            for answer in answers:  # the first fills, so that the second is under way when it is full
                peer = await rig.upstream.accept()
                await peer.contains(b"\r\n\r\n")
                if not connection.writable:
                    await peer.send(endless)
                    flood = asyncio.create_task(peer.send(bytes(64 * 1024 * 1024)))
                    await wait_for(lambda: not all(end.reading for end in rig.shared.pool.connections))
                    flood.cancel()
                    return
                await peer.send(answer)
                peer.close()
            await wait_for(lambda answered=answered: len(rig.observer.answers) == answered)
        pytest.fail("the client's buffer was never full between two requests")
