"""WebSocket passes after the decision and a 101; nothing else becomes a tunnel."""

from __future__ import annotations

import pytest

from lab.wire import Client, Peer, Rig, running
from lab.wire.peers import wait_for

ASK = (
    b"GET /socket/ HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer alice\r\nConnection: keep-alive, Upgrade\r\n"
    b"Upgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
    b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
)
EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


async def tunnel(rig: Rig, early: bytes = b"") -> tuple[Client, Peer]:
    """Both ends of an upgraded connection."""
    client = await rig.client()
    await client.send(ASK + early)
    peer = await rig.upstream.accept()
    received = await peer.contains(b"\r\n\r\n")
    assert received.endswith(b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
    assert b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" in received
    assert not received.partition(b"\r\n\r\n")[2]  # nothing before the 101
    peer.take()
    await peer.send(SWITCH)
    assert await client.contains(b"\r\n\r\n") == SWITCH
    client.take()
    return client, peer


async def test_bytes_pass_both_ways_untouched(rig: Rig) -> None:
    client, peer = await tunnel(rig)
    frames = bytes(range(256)) * 1000 + b"GET / HTTP/1.1\r\n\r\n"
    await client.send(frames)
    assert await peer.until(lambda received: len(received) >= len(frames)) == frames
    await peer.send(frames)
    assert await client.until(lambda received: len(received) >= len(frames)) == frames


async def test_bytes_behind_the_handshake(rig: Rig) -> None:
    client, peer = await tunnel(rig, early=b"early")
    assert await peer.contains(b"early") == b"early"
    await peer.send(b"answer")
    await client.contains(b"answer")


async def test_each_direction_ends_by_itself(rig: Rig) -> None:
    client, peer = await tunnel(rig)
    client.eof()
    assert await peer.rest() == b""
    await peer.send(b"last words")
    await client.contains(b"last words")
    peer.eof()
    assert await client.rest() == b"last words"
    await wait_for(lambda: not rig.server.clients)
    assert rig.observer.answers == [101]


async def test_one_side_lost_ends_the_other(rig: Rig) -> None:
    client, peer = await tunnel(rig)
    client.reset()
    await peer.closed()
    client, peer = await tunnel(rig)
    peer.reset()
    await client.closed()


async def test_an_upgrade_that_the_upstream_refuses_is_no_tunnel(rig: Rig) -> None:
    client = await rig.client()
    await client.send(ASK + b"DELETE /students/1/ HTTP/1.1\r\nHost: x\r\n\r\n")
    peer = await rig.upstream.accept()
    await peer.contains(b"\r\n\r\n")
    await peer.send(EMPTY)
    assert await client.rest() == EMPTY.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    assert b"DELETE" not in peer.received


@pytest.mark.parametrize("token", [b"bob", b"stranger"])
async def test_a_refused_upgrade_reaches_nobody(rig: Rig, token: bytes) -> None:
    client = await rig.client()
    await client.send(ASK.replace(b"alice", token) + b"early")
    assert (await client.rest()).startswith(b"HTTP/1.1 40")
    assert not rig.upstream.peers


@pytest.mark.parametrize(
    "request_bytes",
    [
        ASK.replace(b"websocket\r\n", b"h2c\r\n").replace(b"Upgrade\r\n", b"Upgrade, HTTP2-Settings\r\n"),
        ASK.replace(b"keep-alive, Upgrade", b"keep-alive"),
    ],
    ids=["h2c", "not in Connection"],
)
async def test_any_other_upgrade_is_dropped(rig: Rig, request_bytes: bytes) -> None:
    client = await rig.client()
    await client.send(request_bytes)
    peer = await rig.upstream.accept()
    received = await peer.contains(b"\r\n\r\n")
    assert b"upgrade" not in received.lower()
    await peer.send(SWITCH)  # a 101 that nobody asked for
    assert (await client.contains(b"\r\n\r\n")).startswith(b"HTTP/1.1 502 ")
    await peer.closed()


UNNAMED = ASK.replace(b"/socket/", b"/elsewhere/")


async def test_a_websocket_that_no_rule_names_is_refused(rig: Rig) -> None:
    client = await rig.client()
    await client.send(UNNAMED + b"early")
    answer = await client.rest()
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert b'"code": "websocket_no_rule"' in answer
    assert [each.verdict.code for each in rig.observer.decisions] == ["websocket_no_rule"]
    assert not rig.upstream.peers


async def test_shadow_mode_lets_it_pass() -> None:
    async with running(enforced=False) as rig:
        client = await rig.client()
        await client.send(UNNAMED)
        peer = await rig.upstream.accept()
        assert (await peer.contains(b"\r\n\r\n")).endswith(
            b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        )
        await peer.send(SWITCH)
        await client.contains(SWITCH)
        await client.send(b"frames")
        await peer.contains(b"frames")
        assert [each.verdict.code for each in rig.observer.decisions] == ["websocket_no_rule"]


async def test_a_tunnel_does_not_outlive_the_server() -> None:
    async with running() as rig:
        client, peer = await tunnel(rig)
        rig.server.pre_shutdown()
        await rig.server.shutdown(0.01)
        await client.closed()
        await peer.closed()
