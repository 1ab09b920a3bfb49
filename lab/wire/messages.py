"""Messages as an independent parser, h11, reads them off a raw connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass

import h11

from lab.wire.peers import Client, Peer

Fields = tuple[tuple[bytes, bytes], ...]
"""Header or trailer fields: order, case and duplicates kept."""

LARGEST_HEAD = 1_000_000
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@dataclass(frozen=True)
class Request:
    """What a service hears."""

    method: bytes
    target: bytes
    fields: Fields
    body: bytes
    trailers: Fields = ()


@dataclass(frozen=True)
class Answer:
    """What a client is told."""

    status: int
    reason: bytes
    fields: Fields
    body: bytes
    trailers: Fields = ()
    interim: tuple[tuple[int, bytes, Fields], ...] = ()
    """Status, reason and fields of each informational answer before it."""


async def hear(peer: Peer) -> Request:
    """The next request on this connection, whose sender is told to go on if it waits for that."""
    parser = h11.Connection(h11.SERVER, max_incomplete_event_size=LARGEST_HEAD)
    head, body = h11.Request(method="GET", target="/", headers=[("Host", "-")]), b""
    trailers: Fields = ()
    async for event in _events(peer, parser):
        if isinstance(event, h11.Request):
            head = event
            if parser.they_are_waiting_for_100_continue:
                await peer.send(CONTINUE)
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            trailers = _fields(event)
    return Request(head.method, head.target, _fields(head), body, trailers)


async def ask(port: int, head: bytes, body: bytes = b"") -> Answer:
    """Send a request on a connection of its own and read the answer to its end.

    With `Expect: 100-continue` the body waits for a 100. Raises h11.RemoteProtocolError where there is no
    whole answer.
    """
    async with await Client.connect(port) as client:
        waits = b"\r\nExpect: 100-continue\r\n" in head
        sending = asyncio.create_task(_send(client, head if waits else head + body))
        try:
            return await _answer(client, head.partition(b" ")[0], body if waits else b"")
        finally:
            sending.cancel()


async def _send(client: Client, data: bytes) -> None:
    with suppress(ConnectionError):  # it may be answered, and closed, before it has been read in full
        await client.send(data)


async def _answer(client: Client, method: bytes, body: bytes) -> Answer:
    parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=LARGEST_HEAD)
    parser.send(h11.Request(method=method, target="/", headers=[("Host", "-")]))
    parser.send(h11.EndOfMessage())
    head, parts, trailers, interim = h11.Response(status_code=200, headers=[]), [], Fields(), []
    async for event in _events(client, parser):
        if isinstance(event, h11.InformationalResponse):
            interim.append((event.status_code, event.reason, _fields(event)))
            if event.status_code == 100:
                await client.send(body)
        elif isinstance(event, h11.Response):
            head = event
        elif isinstance(event, h11.Data):
            parts.append(bytes(event.data))
        elif isinstance(event, h11.EndOfMessage):
            trailers = _fields(event)
    return Answer(head.status_code, head.reason, _fields(head), b"".join(parts), trailers, tuple(interim))


async def _events(peer: Peer, parser: h11.Connection) -> AsyncIterator[h11.Event]:
    """Up to the end of one message."""
    event: object = None
    while not isinstance(event, h11.EndOfMessage):
        event = parser.next_event()
        if event is h11.NEED_DATA:
            try:
                parser.receive_data(await peer.read())
            except EOFError:
                parser.receive_data(b"")
        elif isinstance(event, h11.ConnectionClosed):
            raise h11.RemoteProtocolError("closed without a word")
        elif isinstance(event, h11.Event):
            yield event


def _fields(message: h11.Request | h11.Response | h11.InformationalResponse | h11.EndOfMessage) -> Fields:
    return tuple(message.headers.raw_items())
