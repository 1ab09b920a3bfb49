"""TLS on either side."""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from typing import Any

import pytest

from authz_sidecar.config.limits import ProxyLimits
from authz_sidecar.core.verdicts import FaultCode
from authz_sidecar.proxy.secured import TLS_BYTES
from lab.wire import Client, running
from lab.wire.certificates import Contexts
from lab.wire.peers import wait_for
from tests.integration.proxy.test_upgrade import tunnel

GET = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + b"x" * 300_000
SMALL = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
POST = (
    b"POST /students/ HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer bob\r\nContent-Length: 1000000\r\n\r\nabc"
)


async def test_tls_to_the_upstream(contexts: Contexts) -> None:
    async with running(answer=OK, upstream_tls=contexts) as rig:
        assert (await rig.ask(GET)).endswith(b"x" * 300_000)


async def test_an_upstream_certificate_that_is_not_trusted_is_502(contexts: Contexts) -> None:
    server, _ = contexts
    async with running(answer=OK, upstream_tls=(server, ssl.create_default_context())) as rig:
        assert (await rig.ask(GET)).startswith(b"HTTP/1.1 502 ")


async def test_tls_from_the_client(contexts: Contexts) -> None:
    async with running(answer=OK, tls=contexts) as rig:
        assert (await rig.ask(GET)).endswith(b"x" * 300_000)
        assert b"X-Forwarded-Proto: https\r\n" in rig.upstream.received


async def test_a_refusal_in_mid_body_over_tls(contexts: Contexts) -> None:
    async with running(tls=contexts) as rig:
        client = await rig.client()
        await client.send(POST)
        assert (await client.contains(b"\r\n\r\n")).startswith(b"HTTP/1.1 403 ")
        await client.closed()


async def cut_off(contexts: Contexts, answer: bytes) -> None:
    """A bare FIN behind `answer` ends the upstream's connection: the client cannot take it for whole."""
    async with running(upstream_tls=contexts) as rig:
        client = await rig.client()
        await client.send(GET)
        peer = await rig.upstream.accept()
        await peer.contains(b"\r\n\r\n")
        await peer.send(answer)
        await client.contains(b"abc")
        with peer.raw_socket() as connection:
            connection.shutdown(socket.SHUT_WR)
        with pytest.raises(ConnectionError):
            await client.rest()


async def test_an_answer_that_ends_too_early(contexts: Contexts) -> None:
    await cut_off(contexts, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")


@pytest.mark.asyncio(loop_factories=["uvloop"])  # asyncio does not tell the two ends apart
async def test_only_tls_itself_may_end_an_answer(contexts: Contexts) -> None:
    """A FIN without its farewell may be anybody's (RFC 9112 §9.8)."""
    await cut_off(contexts, b"HTTP/1.1 200 OK\r\n\r\nabc")


async def test_an_answer_that_the_connection_ends_over_tls(contexts: Contexts) -> None:
    async with running(upstream_tls=contexts) as rig:
        client = await rig.client()
        await client.send(GET)
        peer = await rig.upstream.accept()
        await peer.contains(b"\r\n\r\n")
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\nabc")
        peer.close()
        assert (await client.rest()).endswith(b"3\r\nabc\r\n0\r\n\r\n")


async def test_an_upload_that_ends_too_early(contexts: Contexts) -> None:
    async with running(tls=contexts) as rig:
        client = await rig.client()
        head = b"POST /open/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        await client.send(head + b"3\r\nabc\r\n")
        peer = await rig.upstream.accept()
        await peer.contains(b"abc")
        with client.raw_socket() as connection:
            connection.shutdown(socket.SHUT_WR)
        assert (await peer.closed()).endswith(b"3\r\nabc\r\n")
        await wait_for(lambda: rig.observer.answers == [499])


async def test_handshakes_count_as_connections(contexts: Contexts) -> None:
    """Whoever connects and says nothing holds a place like anybody else, and has one only."""
    async with running(ProxyLimits(connections=2, connect_seconds=60), tls=contexts) as rig:
        silent = [await Client.connect(rig.port) for _ in range(2)]
        await wait_for(lambda: len(rig.shared.handshakes) == 2)
        async with await Client.connect(rig.port) as third:
            assert await third.closed() == b""
        assert [failure.code for failure in rig.observer.failures] == [FaultCode.TOO_MANY_CONNECTIONS]
        silent.pop().close()
        await wait_for(lambda: len(rig.shared.handshakes) == 1)
        client = await rig.client()
        await client.send(GET)
        await (await rig.upstream.accept()).send(OK)
        await client.contains(b"200 OK")
        silent.pop().close()


async def test_a_handshake_has_the_time_of_a_head(contexts: Contexts) -> None:
    async with running(ProxyLimits(head_seconds=0.1, connect_seconds=60), tls=contexts) as rig:
        async with await Client.connect(rig.port) as silent:
            assert await silent.closed() == b""
        await wait_for(lambda: not rig.shared.handshakes)


class Counted(ssl.SSLContext):
    """Counts the connections that something of TLS was made for."""

    made = 0

    def wrap_bio(self, *args: Any, **options: Any) -> ssl.SSLObject:
        self.made += 1
        return super().wrap_bio(*args, **options)


HALF_HELLO = b"\x16\x03\x01\x00\x40half"


@pytest.mark.parametrize(
    "said",
    [b"", b"\x16\x03", HALF_HELLO, b"\x15\x03\x01\x00\x02\x01\x00", b"\x16\x03\x01\xff\xff", GET],
)
async def test_nothing_of_tls_is_made_for_who_does_not_say_hello(contexts: Contexts, said: bytes) -> None:
    server = Counted(ssl.PROTOCOL_TLS_SERVER)
    async with running(tls=(server, contexts[1])) as rig, await Client.connect(rig.port) as client:
        await client.send(said)
        client.eof()
        assert await client.closed() == b""
        await wait_for(lambda: not rig.shared.handshakes)
        assert server.made == 0


async def test_a_hello_may_come_in_pieces(contexts: Contexts) -> None:
    hello, sent = ssl.MemoryBIO(), ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        contexts[1].wrap_bio(hello, sent, server_hostname="localhost").do_handshake()
    async with running(tls=contexts) as rig, await Client.connect(rig.port) as client:
        for byte in sent.read():
            await client.send(bytes([byte]))
        assert (await client.until(bool))[:1] == b"\x16"


async def test_half_a_handshake_has_the_time_of_a_head(contexts: Contexts) -> None:
    async with running(ProxyLimits(head_seconds=0.1, connect_seconds=60), tls=contexts) as rig:
        async with await Client.connect(rig.port) as slow:
            await slow.send(b"\x16\x03\x01")
            assert await slow.closed() == b""
        await wait_for(lambda: not rig.shared.handshakes)


async def test_what_tls_takes_comes_out_of_what_clients_may_fill(contexts: Contexts) -> None:
    """Who would take more than there is, is closed; who has it already goes on."""
    limits = ProxyLimits(buffer_bytes=4 * TLS_BYTES, connect_seconds=60)  # a quarter is the allocator's
    async with running(limits, answer=SMALL, tls=contexts) as rig:
        held = [await rig.client() for _ in range(3)]
        with suppress(ConnectionError):
            await rig.client()
        assert [failure.code for failure in rig.observer.failures] == [FaultCode.BUFFERS_FULL]
        await held[0].send(GET)
        assert b"200 OK" in await held.pop(0).rest()
        await wait_for(lambda: rig.shared.budget.taken_bytes == 2 * TLS_BYTES)
        assert b"200 OK" in await rig.ask(GET)
    await wait_for(lambda: rig.shared.budget.taken_bytes == 0)


async def test_the_beginning_of_a_record_is_counted(contexts: Contexts) -> None:
    async with running(tls=contexts) as rig:
        async with await Client.connect(rig.port) as slow:
            await slow.send(HALF_HELLO)
            await wait_for(lambda: rig.shared.budget.taken_bytes == len(HALF_HELLO))
        await wait_for(lambda: rig.shared.budget.taken_bytes == 0)


async def test_an_upload_of_many_records_arrives_as_it_was_sent(contexts: Contexts) -> None:
    body = bytes(range(256)) * 2000
    async with running(answer=OK, tls=contexts) as rig:
        head = b"POST /open/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
        assert (await rig.ask(head % len(body) + body)).endswith(b"x" * 300_000)
        assert rig.upstream.received.endswith(b"\r\n\r\n" + body)


async def test_a_websocket_over_tls(contexts: Contexts) -> None:
    frames = bytes(range(256)) * 1000
    async with running(tls=contexts) as rig:
        client, peer = await tunnel(rig)
        await client.send(frames)
        assert await peer.until(lambda received: len(received) >= len(frames)) == frames
        await peer.send(frames)
        assert await client.until(lambda received: len(received) >= len(frames)) == frames
        peer.close()
        assert await client.rest() == frames


async def test_a_farewell_of_tls_ends_a_connection(contexts: Contexts) -> None:
    """Between two requests, and when more had been sent with it."""
    async with running(answer=OK, tls=contexts) as rig:
        client = await rig.client()
        await client.send(GET.replace(b"close", b"keep-alive"))
        await client.contains(b"x" * 300_000)
        client.close()
        await wait_for(lambda: not rig.server.clients)


async def test_a_handshake_ends_with_the_server(contexts: Contexts) -> None:
    async with running(tls=contexts) as rig:
        async with await Client.connect(rig.port) as silent:
            await wait_for(lambda: rig.shared.handshakes)
            rig.server.pre_shutdown()
            assert await silent.closed() == b""
        await wait_for(lambda: not rig.shared.handshakes)


async def test_what_is_no_tls_is_closed(contexts: Contexts) -> None:
    async with running(tls=contexts) as rig:
        async with await Client.connect(rig.port) as client:
            await client.send(GET)
            assert b"HTTP/1.1" not in await client.closed()
        await wait_for(lambda: not rig.shared.handshakes)
        assert not rig.server.clients
