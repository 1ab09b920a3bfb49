"""Who has more connections than another leaves the next one to it."""

from __future__ import annotations

import asyncio
import socket

import pytest
from aiohttp import web

from authz_sidecar.fair import FairSite, Shares
from lab.wire.peers import wait_for


def test_nobody_gets_more_than_one_ahead() -> None:
    shares, counts = Shares(3), [0, 0, 0]
    for number in range(3):
        shares.may_accept(number, 0)
    for turn in range(300):
        willing = [each for each in range(3) if shares.may_accept(each, counts[each])]
        assert willing, "somebody takes it"
        counts[willing[turn % len(willing)]] += 1
        for each in range(3):
            shares.may_accept(each, counts[each])
    assert max(counts) - min(counts) <= 1


def test_nobody_waits_for_one_that_is_not_there() -> None:
    shares = Shares(2)
    assert shares.may_accept(0, 1000)
    assert shares.may_accept(1, 3)
    assert not shares.may_accept(0, 1000)
    shares.leave(1)
    assert shares.may_accept(0, 1000)


class Greeting(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(b"hello")
        transport.close()


@pytest.mark.parametrize("may_accept", [True, False])
async def test_connections_are_taken_in_the_end(may_accept: bool) -> None:
    """Also by one that has more than its share, when nobody else takes them."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        runner = web.ServerRunner(web.Server(lambda _: None))  # type: ignore[arg-type]  # replaced below
        await runner.setup()
        runner._server = lambda: Greeting()  # type: ignore[assignment]  # as the byte path does
        site = FairSite(runner, listener, lambda: may_accept)
        await site.start()
        address = listener.getsockname()
        streams = [await asyncio.open_connection(*address) for _ in range(20)]
        assert [await reader.read() for reader, _ in streams] == [b"hello"] * 20
        await site.stop()
        later = socket.create_connection(address)  # the kernel takes it, and nobody of ours
        for _, writer in streams:
            writer.close()
        later.close()
        await wait_for(lambda: not site._accepted)
