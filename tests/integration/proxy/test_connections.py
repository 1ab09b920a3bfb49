"""The life of connections: kept, pipelined, half-closed, dropped, drained, reused."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from authz_sidecar.config.limits import ProxyLimits
from lab.wire import Client, Rig, running
from lab.wire.peers import wait_for

GET = b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /students/ HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer alice\r\nContent-Length: %d\r\n\r\n"
REFUSED = b"DELETE /students/1/ HTTP/1.1\r\nHost: x\r\n\r\n"
EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
ECHO = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def test_one_connection_each_way_serves_many_requests() -> None:
    async with running(answer=ECHO) as rig:
        client = await rig.client()
        for number in range(5):
            await client.send(GET % number)
            await client.contains(ECHO)
            assert client.take() == ECHO
        assert len(rig.upstream.peers) == 1


async def test_pipelined_requests_are_answered_in_order(rig: Rig) -> None:
    client = await rig.client()
    await client.send(GET % 1 + REFUSED + GET % 2 + GET % 3)
    peer = await rig.upstream.accept()
    for number in (1, 2, 3):
        received = await peer.contains(b"\r\n\r\n")
        assert received.startswith(b"GET /%d " % number)  # and no other with it: one at a time
        assert received.count(b"HTTP/1.1") == 1
        peer.take()
        await peer.send(b"HTTP/1.1 200 Number%d\r\nContent-Length: 0\r\n\r\n" % number)
    received = await client.contains(b"Number3")
    places = [received.index(text) for text in (b"Number1", b"401 Unauthorized", b"Number2", b"Number3")]
    assert places == sorted(places)


async def test_thousands_of_pipelined_requests() -> None:
    async with running(answer=EMPTY) as rig:
        client = await rig.client()
        sending = asyncio.create_task(client.send((GET % 1 + REFUSED) * 500))
        await client.until(lambda received: received.count(b"HTTP/1.1 200 OK") == 500)
        await client.until(lambda received: received.count(b"HTTP/1.1 401") == 500)
        await sending


async def test_thousands_of_pipelined_refusals() -> None:
    async with running() as rig:
        client = await rig.client()
        sending = asyncio.create_task(client.send(REFUSED * 2000))
        await client.until(lambda received: received.count(b"HTTP/1.1 401") == 2000)
        await sending


async def test_a_client_may_stop_sending_and_wait(rig: Rig) -> None:
    client = await rig.client()
    await client.send(GET % 1)
    client.eof()
    peer = await rig.upstream.accept()
    await peer.contains(b"\r\n\r\n")
    await peer.send(EMPTY)
    assert await client.rest() == EMPTY


async def test_a_client_may_stop_sending_after_several_requests() -> None:
    async with running(answer=EMPTY) as rig:
        client = await rig.client()
        await client.send(GET % 1 + POST % 3 + b"abc" + GET % 2)
        client.eof()
        assert await client.rest() == EMPTY * 3
        assert rig.upstream.received.count(b" HTTP/1.1\r\n") == 3


async def test_answers_without_a_body_keep_both_connections_in_step(rig: Rig) -> None:
    """Whatever length they name: the next answer begins right behind their heads."""
    client = await rig.client()
    await client.send(b"HEAD /1 HTTP/1.1\r\nHost: x\r\n\r\n" + b"".join(GET % number for number in (2, 3, 4)))
    peer = await rig.upstream.accept()
    answers = (
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwhole",
    )
    for number, answer in enumerate(answers, 1):
        await peer.contains(b" /%d " % number)
        await peer.send(answer)
    assert await client.contains(b"whole") == b"".join(answers)


async def test_half_a_request_is_not_completed_by_its_end(rig: Rig) -> None:
    client = await rig.client()
    await client.send(POST % 10 + b"abc")
    peer = await rig.upstream.accept()
    await peer.contains(b"abc")
    client.eof()
    await peer.closed()
    await wait_for(lambda: rig.observer.answers == [499])


async def test_half_a_chunked_request_is_not_completed_by_its_end(rig: Rig) -> None:
    client = await rig.client()
    head = POST.replace(b"Content-Length: %d", b"Transfer-Encoding: chunked")
    await client.send(head + b"3\r\nabc\r\n")
    peer = await rig.upstream.accept()
    await peer.contains(b"3\r\nabc\r\n")
    client.close()
    await peer.closed()
    assert not peer.received.endswith(b"0\r\n\r\n")


async def test_a_client_that_leaves_cancels_the_upstream(rig: Rig) -> None:
    client = await rig.client()
    await client.send(GET % 1)
    peer = await rig.upstream.accept()
    await peer.contains(b"\r\n\r\n")
    client.reset()
    await peer.closed()
    await wait_for(lambda: not rig.server.clients)


async def test_a_client_that_leaves_while_the_decision_waits_sends_nothing(rig: Rig) -> None:
    rig.permissions.gate.clear()
    client = await rig.client()
    await client.send(POST % 3 + b"abc")
    await wait_for(lambda: rig.server.clients and not rig.server.clients[0].idle)
    client.reset()
    await wait_for(lambda: not rig.server.clients)
    rig.permissions.gate.set()
    await asyncio.sleep(0)
    assert (rig.upstream.peers, rig.observer.decisions) == ([], [])


async def test_a_decision_that_waits(rig: Rig) -> None:
    rig.permissions.gate.clear()
    client = await rig.client()
    await client.send(POST % 3 + b"abc" + GET % 2)
    await wait_for(lambda: rig.server.clients and not rig.server.clients[0].idle)
    rig.permissions.gate.set()
    peer = await rig.upstream.accept()
    assert (await peer.contains(b"abc")).endswith(b"\r\n\r\nabc")
    peer.take()
    await peer.send(EMPTY)
    await peer.contains(b"GET /2")
    await peer.send(EMPTY)
    await client.until(lambda received: received == EMPTY * 2)


async def test_an_early_answer_ends_the_upload(rig: Rig) -> None:
    client = await rig.client()
    await client.send(POST % 1_000_000 + b"abc")
    peer = await rig.upstream.accept()
    await peer.contains(b"abc")
    answer = b"HTTP/1.1 413 Too Much\r\nContent-Length: 1\r\n\r\n!"
    await peer.send(answer)
    assert await client.rest() == answer.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    await peer.closed()


async def test_both_directions_at_once(rig: Rig) -> None:
    client = await rig.client()
    await client.send(POST % 6 + b"abc")
    peer = await rig.upstream.accept()
    await peer.contains(b"abc")
    await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nABC")
    await client.contains(b"ABC")
    await client.send(b"def")
    await peer.contains(b"abcdef")
    await peer.send(b"DEF")
    assert (await client.rest()).endswith(b"ABCDEF")


async def test_a_refusal_in_mid_body_can_be_read(rig: Rig) -> None:
    client = await rig.client()
    await client.send((POST % 10_000_000).replace(b"alice", b"bob") + b"x" * 100_000)
    answer = await client.rest()
    assert answer.startswith(b"HTTP/1.1 403 ")
    await client.send(b"x" * 100_000)  # still taken, and discarded
    await wait_for(lambda: not rig.server.clients)
    assert not rig.upstream.peers


async def test_a_malformed_body_in_mid_upload(rig: Rig) -> None:
    client = await rig.client()
    head = POST.replace(b"Content-Length: %d", b"Transfer-Encoding: chunked")
    await client.send(head + b"3\r\nabc\r\n")
    peer = await rig.upstream.accept()
    await peer.contains(b"abc")
    await client.send(b"zz\r\n")
    assert (await client.rest()).startswith(b"HTTP/1.1 400 ")
    await peer.closed()


async def test_a_connection_that_the_upstream_closed_is_not_reused(rig: Rig) -> None:
    client = await rig.client()
    for number in (1, 2):
        await client.send(GET % number)
        peer = await rig.upstream.accept()
        await peer.contains(b"GET /%d " % number)
        await peer.send(EMPTY)
        await client.until(lambda received, number=number: received.count(EMPTY) == number)
        peer.close()
        assert await peer.rest()


@pytest.mark.parametrize("head", [GET % 2, POST % 0], ids=["safe", "mutating"])
@pytest.mark.parametrize("last_word", [b"", b"HTTP/1.1 200 Poison\r\nContent-Length: 0\r\n\r\n"])
async def test_a_connection_that_ends_as_the_request_comes_is_not_used(
    rig: Rig, head: bytes, last_word: bytes
) -> None:
    """Both arrive in one turn of the event loop, which hears of the request first."""
    client, first = await rig.exchanged(GET % 1, EMPTY)
    with client.raw_socket() as sending, first.raw_socket() as ending:
        sending.send(head)
        ending.send(last_word)
        ending.shutdown(socket.SHUT_WR)
    second = await rig.upstream.accept()
    await second.contains(head.partition(b"HTTP")[0])
    await second.send(EMPTY)
    assert await client.until(lambda received: received.count(EMPTY) == 2) == EMPTY * 2
    assert (await first.closed()).count(b"HTTP/1.1") == 1


async def test_an_upstream_that_speaks_first_is_not_trusted(rig: Rig) -> None:
    client, peer = await rig.exchanged(GET % 1, EMPTY)
    await peer.send(b"HTTP/1.1 200 Poison\r\nContent-Length: 0\r\n\r\n")
    await peer.closed()
    await client.send(GET % 2)
    second = await rig.upstream.accept()
    await second.contains(b"GET /2")
    await second.send(EMPTY)
    assert await client.until(lambda received: received.count(EMPTY) == 2) == EMPTY * 2


async def test_the_pool_has_a_limit_and_a_queue() -> None:
    async with running(ProxyLimits(upstream_connections=2)) as rig:
        clients = [await rig.client() for _ in range(6)]
        for number, client in enumerate(clients):
            await client.send(GET % number)
        peers = [await rig.upstream.accept() for _ in range(2)]
        for peer in peers * 3:
            await peer.contains(b"\r\n\r\n")
            peer.take()
            await peer.send(EMPTY)
        for client in clients:
            await client.contains(EMPTY)
        assert len(rig.upstream.peers) == 2


async def test_no_upstream_is_502() -> None:
    async with running() as rig:
        await rig.upstream.stop()
        assert (await rig.ask(GET % 1)).startswith(b"HTTP/1.1 502 ")


async def test_unix_socket(tmp_path: Path) -> None:
    async with running(answer=ECHO, unix_path=str(tmp_path / "upstream.sock")) as rig:
        assert await rig.ask(GET % 1) == ECHO


async def test_idle_connections_close_and_busy_ones_end_with_their_request() -> None:
    async with running() as rig:
        idle, busy = await rig.client(), await rig.client()
        await busy.send(GET % 1)
        peer = await rig.upstream.accept()
        await peer.contains(b"\r\n\r\n")
        await wait_for(lambda: len(rig.server.clients) == 2)
        rig.server.pre_shutdown()
        assert await idle.rest() == b""
        await peer.send(EMPTY)
        assert await busy.rest() == EMPTY.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        await rig.server.shutdown(1)
        assert not rig.server.clients


async def test_a_connection_that_is_to_end_serves_no_further_request(rig: Rig) -> None:
    client = await rig.client()
    await client.send(GET % 1 + GET % 2)
    peer = await rig.upstream.accept()
    await peer.contains(b"GET /1 ")
    rig.server.pre_shutdown()
    await peer.send(EMPTY)
    assert await client.rest() == EMPTY.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    await rig.server.shutdown(1)
    assert b"GET /2 " not in await peer.closed()


async def test_what_does_not_end_in_time_is_cut_off() -> None:
    async with running() as rig:
        client = await rig.client()
        await client.send(GET % 1)
        peer = await rig.upstream.accept()
        await peer.contains(b"\r\n\r\n")
        rig.server.pre_shutdown()
        await rig.server.shutdown(0.01)
        with pytest.raises(ConnectionError):
            await client.rest()


async def test_too_many_connections() -> None:
    async with running(ProxyLimits(connections=1), answer=EMPTY) as rig:
        first = await rig.client()
        await first.send(GET % 1)
        await first.contains(EMPTY)
        async with await Client.connect(rig.port) as second:
            assert (await second.rest()).startswith(b"HTTP/1.1 503 ")
        await first.send(GET % 2)
        await first.until(lambda received: received == EMPTY * 2)


async def test_the_body_of_a_request_that_waits_is_not_read(rig: Rig) -> None:
    """Whoever only sends, and waits for nothing, must not fill memory."""
    client = await rig.client()
    await client.send(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
    peer = await rig.upstream.accept()
    await peer.contains(b"\r\n\r\n")
    await client.send(
        b"POST /open/x HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n" + bytes(2**16)
    )
    await wait_for(rig.paused)
    await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    await client.contains(b"200 OK")
    await peer.contains(b"POST /open/x")


async def test_the_start_of_a_second_answer_is_nobodys(rig: Rig) -> None:
    client = await rig.client()
    await client.send(GET % 1)
    first = await rig.upstream.accept()
    await first.contains(b"\r\n\r\n")
    await first.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 2")
    await client.contains(b"ok")
    await client.send(GET % 2)
    second = await rig.upstream.accept()
    await second.contains(b"GET /2 ")
    await second.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nown")
    await client.contains(b"own")
    await first.closed()


async def test_a_first_connection_has_as_long_as_the_next() -> None:
    async with running(ProxyLimits(head_seconds=30)) as rig:
        await rig.client()
        await wait_for(lambda: len(rig.server.clients) == 1)
        (connection,) = rig.server.clients
        assert connection.deadline >= rig.shared.clock.monotonic() + 29


async def test_an_upstream_that_hangs_up_at_once_is_502(rig: Rig) -> None:
    client = await rig.client()
    await client.send(GET % 1)
    peer = await rig.upstream.accept()
    peer.reset()
    await client.contains(b"HTTP/1.1 502 ")
