"""An upgraded connection: only after a decision and the service's 101, and then not a bit is changed."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession, WSMsgType, web

from lab.wire.front import SENTINEL, Front, statuses
from lab.wire.peers import Client, Peer, wait_for

ASK = (
    b"GET /socket/ HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer <carol>\r\n"
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"
)
SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
    b"Sec-WebSocket-Extensions: permessage-deflate\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
)
HIDDEN = b"DELETE /students/1/ HTTP/1.1\r\nHost: localhost\r\nX-Hidden: 1\r\n\r\n"


# What the real service says no to is no tunnel, and what nobody may ask for does not get as far.
NO_TUNNEL = {
    "the service knows no such socket": (ASK, [404]),
    "without a token": (ASK.replace(b"Bearer <carol>", b"Basic x"), [401]),
    "without the permission": (ASK.replace(b"<carol>", b"<bob>"), [403]),
    "where no rule is": (ASK.replace(b"/socket/", b"/students/9/"), [403]),
    "HTTP/2": (ASK.replace(b"Upgrade: websocket", b"Upgrade: h2c"), [404, 401]),
    "HTTP/2 and WebSocket": (ASK.replace(b"Upgrade: websocket", b"Upgrade: h2c, websocket"), [404, 401]),
    "TLS": (ASK.replace(b"Upgrade: websocket", b"Upgrade: TLS/1.2"), [404, 401]),
    "not in Connection": (ASK.replace(b"Connection: Upgrade\r\n", b""), [404, 401]),
    "by POST": (ASK.replace(b"GET /socket/", b"POST /open/x"), [404, 401]),
    "with a body": (ASK.replace(b"\r\n\r\n", b"\r\nContent-Length: 2\r\n\r\nab"), [404, 401]),
    "in HTTP/1.0": (ASK.replace(b"HTTP/1.1", b"HTTP/1.0"), [404]),
}


@pytest.mark.parametrize(("attack", "answers"), NO_TUNNEL.values(), ids=NO_TUNNEL.keys())
async def test_what_follows_an_upgrade_that_is_none_is_decided(
    front: Front, attack: bytes, answers: list[int]
) -> None:
    answered = statuses(await front.ask(attack + HIDDEN))
    assert answered[: len(answers)] == answers
    await front.ask(SENTINEL)
    assert b"X-Hidden" not in front.tap.received
    assert not front.changed


def frame(first: int, payload: bytes = b"", mask: bytes = b"") -> bytes:
    """RFC 6455 §5.2; `first` holds FIN, RSV and the opcode."""
    size = len(payload)
    masked = 0x80 if mask else 0
    length = bytes([masked | size]) if size < 126 else bytes([masked | 126]) + size.to_bytes(2, "big")
    key = mask * (size // 4 + 1)
    return (
        bytes([first])
        + length
        + mask
        + bytes(a ^ b for a, b in zip(payload, key or bytes(size), strict=False))
    )


def deflated(text: bytes) -> bytes:
    """RFC 7692 §7.2.1."""
    packer = zlib.compressobj(wbits=-15)
    return (packer.compress(text) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]


FRAMES = {
    "a text": [(0x81, b"text")],
    "a long binary": [(0x82, bytes(range(256)) * 200)],
    "an empty text": [(0x81, b"")],
    "fragments with a ping between": [
        (0x01, b"one "),
        (0x89, b"are you there?"),
        (0x00, b"two"),
        (0x80, b""),
    ],
    "ping and pong": [(0x89, b"1"), (0x8A, b"1"), (0x8A, b"unasked")],
    "deflated": [(0xC1, deflated(b"text " * 100)), (0x41, deflated(b"a")[:2]), (0x80, deflated(b"a")[2:])],
    "going away": [(0x88, (1001).to_bytes(2, "big") + "schön".encode())],
    "a private code": [(0x88, (4999).to_bytes(2, "big"))],
    "a close without a code": [(0x88, b"")],
    "a reserved code": [(0x88, (1005).to_bytes(2, "big"))],
    "a reserved opcode": [(0x8F, b"?")],
    "what looks like a request": [(0x81, HIDDEN)],
}


async def tunnel(front: Front) -> tuple[Client, Peer]:
    front.tap.onward = 0
    client = await front.client()
    await client.send(front.filled(ASK))
    peer = await front.tap.accept()
    assert b"permessage-deflate; client_max_window_bits\r\n" in await peer.contains(b"\r\n\r\n")
    await peer.send(SWITCH)
    assert await client.contains(b"\r\n\r\n") == SWITCH
    peer.take(), client.take()
    return client, peer


async def passed(data: bytes, source: Peer, sink: Peer) -> bytes:
    """As many bytes as `source` has sent, as they came to `sink`."""
    await source.send(data)
    await sink.until(lambda received: len(received) >= len(data))
    return sink.take()


async def test_frames_pass_both_ways_bit_for_bit(front: Front) -> None:
    client, peer = await tunnel(front)
    async with client:
        for name, frames in FRAMES.items():
            there = b"".join(frame(first, payload, b"\x12\x34\x56\x78") for first, payload in frames)
            back = b"".join(frame(first, payload) for first, payload in frames)
            assert await passed(there, client, peer) == there, name
            assert await passed(back, peer, client) == back, name
        client.eof()
        assert await peer.rest() == b""
        peer.close()
        assert await client.rest() == b""


@pytest.fixture
async def codes(front: Front) -> AsyncIterator[list[int | None]]:
    """The service is one that says everything again. The codes with which its connections ended."""
    codes: list[int | None] = []

    async def echo(request: web.BaseRequest) -> web.WebSocketResponse:
        server = web.WebSocketResponse(compress=True)
        await server.prepare(request)
        async for message in server:
            if message.data == "close":
                await server.close(code=4001, message=b"as you like")
            else:
                await server.send_str(message.data)
        codes.append(server.close_code)
        return server

    runner = web.ServerRunner(web.Server(echo))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    front.tap.onward = runner.addresses[0][1]
    yield codes
    await runner.cleanup()


async def test_a_real_client_and_a_real_server(front: Front, codes: list[int | None]) -> None:
    headers = {"Authorization": f"Bearer {front.tokens['carol']}"}
    url, text = f"{front.sidecar.url}/socket/", "text " * 10_000
    async with ClientSession() as session:
        async with session.ws_connect(url, headers=headers, compress=15) as client:
            await client.send_str("close")
            assert (await client.receive()).type is WSMsgType.CLOSE
            assert client.close_code == 4001
        async with session.ws_connect(url, headers=headers, compress=15) as client:
            assert client.compress == 15
            await client.ping(b"1")
            await client.send_str(text)
            assert (await client.receive()).data == text
            await client.close(code=4002)
    await wait_for(lambda: len(codes) == 2)
    assert codes[1] == 4002
