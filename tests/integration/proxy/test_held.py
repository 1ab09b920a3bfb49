"""What one client, or thousands of them, can make the proxy hold, and how long it can keep it from others."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc

import pytest

from authz_sidecar.config.limits import ProxyLimits
from authz_sidecar.proxy.downstream import MOST_A_TURN, Downstream
from authz_sidecar.proxy.proxied import ProxiedDownstream
from lab.wire import Rig, running
from lab.wire.peers import wait_for

REFUSED = b"DELETE /students/1/ HTTP/1.1\r\nHost: x\r\n\r\n"


async def test_a_client_that_pipelines_refusals_lets_the_loop_turn() -> None:
    """However many requests are there at once, others have their turn between a few of them."""
    async with running() as rig:
        turns, client = 0, await rig.client()
        most, before = 0, 0

        def turn() -> None:
            nonlocal turns, most, before
            most, before = max(most, len(rig.observer.answers) - before), len(rig.observer.answers)
            turns += 1
            if before < 1000:
                asyncio.get_running_loop().call_soon(turn)

        turn()
        sending = asyncio.create_task(client.send(REFUSED * 1000))
        await client.until(lambda received: received.count(b"HTTP/1.1 401") == 1000)
        await sending
        assert 0 < most <= MOST_A_TURN


async def test_fields_are_counted_while_they_come(rig: Rig) -> None:
    client = await rig.client()
    await client.send(b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a:b\r\n" * 255)
    await wait_for(lambda: rig.server.connections)
    await client.send(b"a:b\r\na:")
    assert b" 431 " in await client.rest()


async def test_a_head_that_never_ends_takes_little_more_than_its_bytes() -> None:
    async with running(ProxyLimits(head_fields=10_000, connect_seconds=60)) as rig:
        head = b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a:b\r\n" * 8_000
        client = await rig.client()
        tracemalloc.start()
        try:
            await client.send(head)
            await wait_for(lambda: rig.server.connections and rig.server.connections[0]._reader._overhead)
            await wait_for(lambda: rig.server.connections[0]._reader._overhead == len(head))
            gc.collect()
            held = sum(
                trace.size
                for trace in tracemalloc.take_snapshot()
                .filter_traces([tracemalloc.Filter(True, "*/proxy/*.py")])
                .statistics("filename")
            )
        finally:
            tracemalloc.stop()
        assert held <= 2 * len(head)


class Gone:
    """A transport of a connection whose peer had left before it was accepted."""

    aborted = False

    def get_extra_info(self, name: str) -> object:
        return None

    def abort(self) -> None:
        self.aborted = True


@pytest.mark.parametrize("kind", [Downstream, ProxiedDownstream])
async def test_a_peer_that_is_gone_before_it_is_accepted_is_nobody(rig: Rig, kind: type[Downstream]) -> None:
    transport, protocol = Gone(), kind(rig.shared)
    protocol.connection_made(transport)  # type: ignore[arg-type]  # as much of one as is looked at
    protocol.connection_lost(None)
    assert transport.aborted
    assert (rig.server.connections, rig.observer.answers, rig.observer.failures) == ([], [], [])
