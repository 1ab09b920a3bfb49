"""The byte path as aiohttp's runner serves it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Collection, Coroutine
from itertools import count
from typing import Final

from authz_sidecar import answers
from authz_sidecar.answers import Fault
from authz_sidecar.config.limits import ProxyLimits
from authz_sidecar.core.entities import EntityKey
from authz_sidecar.core.ports import Clock, RequestObserver
from authz_sidecar.core.verdicts import Failure, FaultCode
from authz_sidecar.pipeline import Pipeline
from authz_sidecar.proxy import framing
from authz_sidecar.proxy.deadlines import Sweep
from authz_sidecar.proxy.downstream import Downstream
from authz_sidecar.proxy.exchange import Exchange
from authz_sidecar.proxy.pool import UpstreamPool
from authz_sidecar.proxy.proxied import ProxiedDownstream

TOO_MANY_CONNECTIONS: Final = Fault(FaultCode.TOO_MANY_CONNECTIONS)


class ProxyServer:
    """Makes a protocol for each connection and knows them all. Stands in for `aiohttp.web.Server`."""

    def __init__(
        self,
        pipeline: Pipeline,
        pool: UpstreamPool,
        observer: RequestObserver,
        clock: Clock,
        limits: ProxyLimits,
        trusts: Callable[[str], bool],
        cors_origins: frozenset[str] = frozenset(),
        *,
        proxy_protocol: bool = False,
    ) -> None:
        self.pipeline = pipeline
        self.pool = pool
        self.outbox = pool.outbox
        self.observer = observer
        self.clock = clock
        self.limits = limits
        self.trusts = trusts
        self.cors_origins = cors_origins
        self.governed: set[Exchange] = set()
        """Those on their way to the upstream and back by virtue of a permission."""
        self.draining = False
        self._protocol = ProxiedDownstream if proxy_protocol else Downstream
        self._connections: set[Downstream] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._empty = asyncio.Event()
        self._sweep = Sweep(self._connections, clock)
        self.deadline = self._sweep.deadline
        self._id_prefix = secrets.token_hex(8)
        self._ids = count(1)

    # aiohttp's runner calls these

    def __call__(self) -> Downstream:
        return self._protocol(self)

    @property
    def connections(self) -> list[Downstream]:
        return list(self._connections)

    def pre_shutdown(self) -> None:
        """Close idle connections and let the others end with their request."""
        self.draining = True
        for connection in self.connections:
            connection.drain()

    async def shutdown(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 (aiohttp's interface)
        """Wait for what is under way, then cut off what is left."""
        try:
            if self._connections:
                async with asyncio.timeout(timeout):
                    await self._empty.wait()
        except TimeoutError:
            pass
        for connection in self.connections:
            connection.reset()
        self._sweep.stop()
        self.pool.close()

    # the connections call these

    def connected(self, connection: Downstream) -> bool:
        """Note a connection; false when there are too many."""
        self._connections.add(connection)
        self._empty.clear()
        self._sweep.start()
        return not self.draining and len(self._connections) <= self.limits.connections

    def overload(self, peer: str) -> bytes:
        """The answer to a connection beyond the limit."""
        request_id = self.new_request_id()
        answer = answers.failure(TOO_MANY_CONNECTIONS, request_id)
        self.observer.failed(Failure(request_id, answer.status, TOO_MANY_CONNECTIONS.code, peer))
        self.observer.answered(answer.status, 0.0)
        hop = (b"Connection: close",)
        head = framing.response_head(answer.status, answer.reason.encode(), list(answer.headers), hop)
        return head + answer.body

    def disconnected(self, connection: Downstream) -> None:
        self._connections.discard(connection)
        if not self._connections:
            self._empty.set()

    def new_request_id(self) -> str:
        return f"{self._id_prefix}{next(self._ids):08x}"

    def spawn(self, waiting: Coroutine[None, None, None]) -> None:
        """Run in the background; a failure is logged by the loop."""
        task = asyncio.get_running_loop().create_task(waiting)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # the replica calls this

    def reconsider(self, keys: Collection[EntityKey] | None) -> None:
        """Decide again on what is under way and end what is no longer permitted.

        `keys` are the entities that have changed; `None`: any may have.
        """
        everyone = keys is None or any(key.kind == "group" for key in keys)
        subjects = {key.key for key in keys or ()}
        for exchange in list(self.governed):
            if everyone or exchange.subject in subjects:
                exchange.reconsider()
