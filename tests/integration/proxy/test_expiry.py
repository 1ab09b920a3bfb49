"""What may go on for ever ends with the token that let it begin; what ends by itself is not cut."""

from __future__ import annotations

import pytest

from authz_sidecar.config.limits import ProxyLimits
from lab.wire import Client, Peer, Rig, running
from lab.wire.peers import wait_for

GET = b"GET /socket/ HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer alice\r\n"
ASK = GET + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nTransfer-Encoding: chunked\r\n\r\n5\r\ndata:\r\n"
UPLOAD = b"POST /students/ HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer alice\r\nContent-Length: 6\r\n\r\nabc"
OFF = ProxyLimits(end_with_token=False)


async def begun(rig: Rig, request: bytes, answer: bytes, expires_at: float = 0.0) -> tuple[Client, Peer]:
    """A request whose token expires, if nothing else is said, as its answer begins."""
    rig.permissions.expires_at = expires_at
    client = await rig.client()
    await client.send(request)
    peer = await rig.upstream.accept()
    await peer.contains(b"\r\n\r\n")
    await peer.send(answer)
    return client, peer


LASTING = {
    "WebSocket": (ASK, SWITCH),
    "event stream": (GET + b"\r\n", EVENTS % b"text/event-stream"),
    "event stream with parameters": (GET + b"\r\n", EVENTS % b"Text/Event-Stream; charset=utf-8"),
}


@pytest.mark.parametrize(("request_", "answer"), LASTING.values(), ids=LASTING.keys())
async def test_it_ends(rig: Rig, request_: bytes, answer: bytes) -> None:
    client, peer = await begun(rig, request_, answer)
    assert (await client.closed()).startswith(answer[:12])
    await peer.closed()
    await wait_for(lambda: not rig.server.clients)
    first, last = rig.observer.decisions
    assert (first.status, last.status, last.verdict.code, last.revoking) == (0, 401, "token_expired", True)
    assert rig.observer.answers == [401]


async def goes_on(rig: Rig, client: Client, peer: Peer, more: bytes = b"4\r\nmore\r\n") -> None:
    await peer.send(more)
    await client.contains(b"more")
    assert [decision.revoking for decision in rig.observer.decisions] == [False]


ENDING = {
    "download": (None, GET + b"\r\n", EVENTS % b"application/octet-stream"),
    "WebSocket, where it is set": (OFF, ASK, SWITCH),
    "event stream, where it is set": (OFF, GET + b"\r\n", EVENTS % b"text/event-stream"),
}


@pytest.mark.parametrize(("limits", "request_", "answer"), ENDING.values(), ids=ENDING.keys())
async def test_it_goes_on(limits: ProxyLimits | None, request_: bytes, answer: bytes) -> None:
    async with running(limits) as rig:
        client, peer = await begun(rig, request_, answer)
        await goes_on(rig, client, peer)


async def test_shadow_mode_ends_nothing() -> None:
    async with running(enforced=False) as rig:
        client, peer = await begun(rig, ASK, SWITCH)
        await goes_on(rig, client, peer)


async def test_an_upload_that_began_in_time_is_not_cut(rig: Rig) -> None:
    client, peer = await begun(rig, UPLOAD, b"")
    await client.send(b"def")
    await peer.contains(b"abcdef")
    await goes_on(rig, client, peer, b"HTTP/1.1 201 Created\r\nContent-Length: 4\r\n\r\nmore")


async def test_no_timer_is_left_of_one_that_ends_before(rig: Rig) -> None:
    client, peer = await begun(rig, ASK, SWITCH, expires_at=2.0**40)
    await client.contains(SWITCH)
    (exchange,) = rig.shared.revocable
    assert not exchange._ending.cancelled()
    client.reset()
    await peer.closed()
    await wait_for(lambda: not rig.shared.revocable)
    assert exchange._ending.cancelled()
