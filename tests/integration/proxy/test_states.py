"""Each step from one state to another that is said to be possible is, and is seen here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from socket import SHUT_WR

import pytest

from lab.wire import Client, Peer, Rig, running
from lab.wire.peers import wait_for
from lab.wire.states import LAWFUL, WATCHABLE, Steps, watched

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /students/ HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer alice\r\nContent-Length: 6\r\n\r\nabc"
REFUSED = b"DELETE /students/1/ HTTP/1.1\r\nHost: x\r\n\r\n"
SOCKET = (
    b"GET /socket/ HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer alice\r\n"
    b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
)
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

pytestmark = pytest.mark.skipif(not WATCHABLE, reason="compiled methods cannot be watched")


async def begun(rig: Rig, request: bytes) -> tuple[Client, Peer]:
    """A request on a new connection each way, as far as it goes up."""
    client = await rig.client()
    await client.send(request)
    peer = await rig.upstream.accept()
    await peer.contains(request[-3:])
    return client, peer


async def kept(rig: Rig) -> tuple[Client, Peer]:
    """Both ends after a first request, kept for another."""
    client, peer = await rig.exchanged(GET, OK)
    client.take()
    peer.take()
    return client, peer


async def a_request_and_another(rig: Rig) -> None:
    client, peer = await kept(rig)
    await client.send(GET[:-2])
    (connection,) = rig.server.clients
    await wait_for(lambda: connection.deadline < rig.shared.deadline(rig.shared.limits.idle_seconds))
    await client.send(GET[-2:])
    await peer.contains(b"\r\n\r\n")
    await peer.send(OK)
    await client.contains(OK)


async def a_client_leaves_before_it_asks(rig: Rig) -> None:
    client = await rig.client()
    await wait_for(lambda: rig.server.clients)
    client.reset()


async def a_client_leaves_after_an_answer(rig: Rig) -> None:
    client, _ = await kept(rig)
    client.reset()


async def a_client_leaves_in_its_request(rig: Rig) -> None:
    client, peer = await begun(rig, POST)
    client.reset()
    await peer.closed()


async def a_client_leaves_before_the_answer(rig: Rig) -> None:
    client, peer = await begun(rig, GET)
    client.reset()
    await peer.closed()


async def a_refusal_ends_what_the_client_sends(rig: Rig) -> None:
    client = await rig.client()
    await client.send(POST.replace(b"alice", b"bob"))
    await client.contains(b" 403 ")
    client.eof()
    await client.closed()


async def a_client_leaves_after_a_refusal(rig: Rig) -> None:
    client = await rig.client()
    await client.send(POST.replace(b"alice", b"bob"))
    await client.contains(b" 403 ")
    client.reset()


async def a_last_request(rig: Rig) -> None:
    client = await rig.client()
    await client.send(REFUSED.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    await client.closed()


async def the_end_of_the_server(rig: Rig) -> None:
    unused = await rig.client()
    used, _ = await kept(rig)
    await wait_for(lambda: len(rig.server.clients) == 2)
    rig.server.pre_shutdown()
    assert (await unused.closed(), await used.closed()) == (b"", b"")


async def an_upload_in_parts(rig: Rig) -> None:
    client, peer = await begun(rig, POST)
    await client.send(b"def")
    await peer.contains(b"abcdef")
    await peer.send(OK)
    await client.contains(OK)


async def an_early_answer(rig: Rig) -> None:
    client, peer = await begun(rig, POST)
    await peer.send(OK)
    await client.contains(b"\r\n\r\nok")


async def an_answer_that_outlasts_the_request(rig: Rig) -> None:
    client, peer = await begun(rig, POST)
    await peer.send(OK[:-1])
    await client.contains(b"\r\n\r\no")
    await client.send(b"def")
    await peer.contains(b"abcdef")
    await peer.send(OK[-1:])
    await client.contains(b"\r\n\r\nok")


async def a_kept_connection_has_ended(rig: Rig) -> None:
    client, peer = await kept(rig)
    with client.raw_socket() as sending, peer.raw_socket() as ending:
        sending.send(GET)
        ending.shutdown(SHUT_WR)
    second = await rig.upstream.accept()
    await second.contains(b"\r\n\r\n")
    await second.send(OK)
    await client.contains(OK)


async def a_kept_connection_has_ended_when_an_upload_begins(rig: Rig) -> None:
    client, peer = await kept(rig)
    with client.raw_socket() as sending, peer.raw_socket() as ending:
        sending.send(POST)
        ending.shutdown(SHUT_WR)
    second = await rig.upstream.accept()
    await second.contains(b"abc")
    client.reset()
    await second.closed()


async def a_kept_connection_ends_with_a_request(rig: Rig) -> None:
    client, peer = await kept(rig)
    await client.send(GET)
    await peer.contains(b"\r\n\r\n")
    peer.reset()
    second = await rig.upstream.accept()
    await second.contains(b"\r\n\r\n")
    await second.send(OK)
    await client.contains(OK)


async def a_client_leaves_a_tunnel(rig: Rig) -> None:
    client, peer = await begun(rig, SOCKET)
    await peer.send(SWITCH)
    await client.contains(SWITCH)
    client.reset()
    await peer.closed()


async def the_service_leaves_a_tunnel(rig: Rig) -> None:
    client, peer = await begun(rig, SOCKET)
    await peer.send(SWITCH)
    await client.contains(SWITCH)
    peer.reset()
    await client.closed()


async def no_service_listens(rig: Rig) -> None:
    await rig.upstream.stop()
    client = await rig.client()
    await client.send(GET)
    await client.contains(b" 502 ")


WAYS: list[Callable[[Rig], Awaitable[None]]] = [
    a_request_and_another,
    a_client_leaves_before_it_asks,
    a_client_leaves_after_an_answer,
    a_client_leaves_in_its_request,
    a_client_leaves_before_the_answer,
    a_refusal_ends_what_the_client_sends,
    a_client_leaves_after_a_refusal,
    a_last_request,
    the_end_of_the_server,
    an_upload_in_parts,
    an_early_answer,
    an_answer_that_outlasts_the_request,
    a_kept_connection_has_ended,
    a_kept_connection_has_ended_when_an_upload_begins,
    a_kept_connection_ends_with_a_request,
    a_client_leaves_a_tunnel,
    the_service_leaves_a_tunnel,
    no_service_listens,
]


async def test_every_step_is_possible() -> None:
    seen: Steps = set()
    for way in WAYS:
        with watched() as steps:
            async with running() as rig:
                await way(rig)
                for client in rig.clients:
                    client.reset()
                await wait_for(lambda rig=rig: not rig.server.clients)
        seen |= steps
    assert LAWFUL - seen == set()
