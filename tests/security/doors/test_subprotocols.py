"""A token in a subprotocol of a WebSocket: read, removed, and nobody else hears of it."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import ClientSession, web

from lab.wire.front import Front, statuses

OWN = b"Origin: http://localhost\r\n"
DELETE = b"DELETE /students/999999/ HTTP/1.1\r\nHost: localhost\r\n"
GET = b"GET /students/1/ HTTP/1.1\r\nHost: localhost\r\n"
OPEN = b"POST /open/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n"
ASK = (
    b"GET /socket/ HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
END = b"\r\n"

SENT_ON = (
    b'Cookie: a=1; token=<admin>; b="2; \xc2\xa0token=x; %74oken=y"; c=3, token=z\r\nCookie: token=w\r\n'
)
SUBPROTOCOL = b'Sec-WebSocket-Protocol: chat, authz.bearer.<bob>, "authz.bearer.x"\r\n'


@pytest.mark.parametrize("start", [GET, OPEN, DELETE + b"Authorization: Bearer <admin>\r\n"])
async def test_what_carries_a_token_never_reaches_the_service(front: Front, start: bytes) -> None:
    """Not where no rule is, not where anybody may pass, and not where a header lets it through."""
    odd = b"Sec.WebSocket.Protocol: authz.bearer.<bob>\r\nSec_WebSocket_Protocol: authz.bearer.<bob>\r\n"
    assert statuses(await front.ask(start + SENT_ON + SUBPROTOCOL + odd + END)) != [401]
    (arrived,) = await front.arrived()
    fields = arrived.fields
    assert [value for name, value in fields if name == "COOKIE"] == ['a=1; b="2']
    assert [value for name, value in fields if "PROTOCOL" in name] == ["chat"]
    carried = [
        value for name, value in fields if front.tokens["admin"] in value or front.tokens["bob"] in value
    ]
    assert carried == ([f"Bearer {front.tokens['admin']}"] if b"Authorization" in start else [])


SUBPROTOCOLS = {
    "alone": (b"Sec-WebSocket-Protocol: authz.bearer.<carol>\r\n", "subprotocol_missing"),
    "alone, twice": (
        b"Sec-WebSocket-Protocol: authz.bearer.<carol>\r\n" * 2,
        "subprotocol_missing",
    ),
    "alone beside a header": (
        b"Authorization: Bearer <carol>\r\nSec-WebSocket-Protocol: authz.bearer.<carol>\r\n",
        "subprotocol_missing",
    ),
    "twice": (
        b"Sec-WebSocket-Protocol: chat, authz.bearer.<carol>, authz.bearer.<carol>\r\n",
        "token_invalid",
    ),
    "in two fields": (
        b"Sec-WebSocket-Protocol: chat, authz.bearer.<bob>\r\n"
        b"Sec-WebSocket-Protocol: authz.bearer.<carol>\r\n",
        "token_invalid",
    ),
    "in other letters": (b"Sec-WebSocket-Protocol: chat, AUTHZ.bearer.<carol>\r\n", "token_invalid"),
    "in quotes": (b'Sec-WebSocket-Protocol: chat, "authz.bearer.<carol>"\r\n', "token_invalid"),
    "with parameters": (b"Sec-WebSocket-Protocol: chat, authz.bearer.<carol>;q=1\r\n", "token_invalid"),
    "percent-encoded": (b"Sec-WebSocket-Protocol: chat, authz%2Ebearer.<carol>\r\n", "token_missing"),
    "in another spelling": (b"Sec.WebSocket.Protocol: chat, authz.bearer.<carol>\r\n", "token_missing"),
    "empty": (b"Sec-WebSocket-Protocol: chat, authz.bearer.\r\n", "token_invalid"),
    "bad before a good cookie": (
        b"Sec-WebSocket-Protocol: chat, authz.bearer.x\r\nCookie: token=<carol>\r\n" + OWN,
        "token_invalid",
    ),
    "good behind a bad header": (
        b"Authorization: Bearer x\r\nSec-WebSocket-Protocol: chat, authz.bearer.<carol>\r\n",
        "token_invalid",
    ),
    "of who may not": (b"Sec-WebSocket-Protocol: chat, authz.bearer.<bob>\r\n", "permission_denied"),
}


async def test_a_subprotocol_that_is_no_token(front: Front) -> None:
    attacks = {name: (ASK + fields, code) for name, (fields, code) in SUBPROTOCOLS.items()}
    offer = b"Sec-WebSocket-Protocol: chat, authz.bearer.<admin>\r\n"
    attacks["for a change"] = (DELETE + offer, "token_missing")
    attacks["for an upgrade that is none"] = (
        DELETE + offer + b"Connection: Upgrade\r\nUpgrade: websocket\r\n",
        "token_missing",
    )
    await front.refuses(attacks)


@pytest.mark.parametrize("by", ["subprotocol", "cookie", "cookie of a listed page"])
async def test_a_real_websocket(front: Front, opened: Any, by: str) -> None:
    """A service that knows of no tokens chooses among what it is offered, and nobody hears of the token."""
    offered = []

    async def chat(request: web.BaseRequest) -> web.WebSocketResponse:
        offered.append((request.headers.get("Sec-WebSocket-Protocol"), request.headers.get("Cookie")))
        server = web.WebSocketResponse(protocols=["superchat", "chat"])
        await server.prepare(request)
        async for message in server:
            await server.send_str(f"{message.data} in {server.ws_protocol}")
        return server

    runner = web.ServerRunner(web.Server(chat))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    front.tap.onward = runner.addresses[0][1]
    token, url = front.tokens["carol"], opened.sidecar.url
    headers = {"Origin": "https://app.example" if by.endswith("page") else url, "Cookie": "a=1"}
    protocols = ["chat"]
    if by == "subprotocol":
        protocols += [f"authz.bearer.{token}"]
    else:
        headers["Cookie"] += f"; token={token}"
    async with (
        ClientSession() as session,
        session.ws_connect(f"{url}/socket/", headers=headers, protocols=protocols) as client,
    ):
        await client.send_str("hello")
        assert (await client.receive()).data == "hello in chat"
    assert offered == [("chat", "a=1")]
    async with ClientSession() as session, session.get(f"{opened.sidecar.admin_url}/metrics") as metrics:
        told = await metrics.text() + opened.sidecar.log_path.read_text()
    assert "websocket" in told
    assert token not in told
    assert token.rpartition(".")[2] not in told
    await runner.cleanup()
