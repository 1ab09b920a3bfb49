"""Three ways to one service: directly, through the engine, and through the oracle in the engine's place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, NamedTuple

from aiohttp import web

from lab.oracle.plain import Proxy, Upstream, client_session
from lab.wire import Observer, Rig, pipeline
from lab.wire.decisions import Clock
from lab.wire.messages import Answer, Request, ask, hear

NOTHING: Final = Request(b"", b"", (), b"")


class Exchange(NamedTuple):
    """What the service heard on one way, and what the client was told."""

    heard: Request
    told: Answer


@dataclass
class Ways:
    """The rig's upstream, alone, behind the engine and behind the oracle."""

    rig: Rig
    oracle_port: int

    async def send(self, head: bytes, body: bytes, answer: bytes) -> tuple[Exchange, Exchange, Exchange]:
        """One request directly, through the engine and through the oracle. `answer` is the service's."""
        return (
            await self._exchange(self.rig.upstream.port, head, body, answer),
            await self._exchange(self.rig.port, head, body, answer),
            await self._exchange(self.oracle_port, head, body, answer),
        )

    async def _exchange(self, port: int, head: bytes, body: bytes, answer: bytes) -> Exchange:
        asking = asyncio.create_task(ask(port, head, body))
        accepting = asyncio.create_task(self.rig.upstream.accept())
        await asyncio.wait((asking, accepting), return_when=asyncio.FIRST_COMPLETED)
        if not accepting.done():
            accepting.cancel()
            return Exchange(NOTHING, await asking)
        peer = accepting.result()
        heard = await hear(peer)
        await peer.send(answer)
        peer.close()
        return Exchange(heard, await asking)


@asynccontextmanager
async def ways_to(rig: Rig) -> AsyncIterator[Ways]:
    """With an oracle that decides as the rig's engine does."""
    async with client_session() as session:
        upstream = Upstream(f"http://localhost:{rig.upstream.port}", session, lambda _: False)
        proxy = Proxy(pipeline(rig.permissions), upstream, Observer(), Clock())
        runner = web.ServerRunner(proxy.server(), shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            yield Ways(rig, runner.addresses[0][1])
        finally:
            await runner.cleanup()


def head(line: str, *fields: bytes) -> bytes:
    """The head of a request whose id is known."""
    own = (line.encode() + b" HTTP/1.1", b"Host: s.example:81", b"X-Request-Id: r1")
    return b"\r\n".join((*own, *fields, b"\r\n"))
