"""What the connections of one port share."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Coroutine
from itertools import count
from typing import Final, Protocol

from authz_sidecar.config.limits import ProxyLimits
from authz_sidecar.core.bearer import TokenPlaces
from authz_sidecar.core.ports import Clock, RequestObserver
from authz_sidecar.core.tracing import Tracer
from authz_sidecar.core.verdicts import Decision, Failure, FaultCode, RequestHead
from authz_sidecar.identity import IdentityHeaders
from authz_sidecar.pipeline import Pipeline
from authz_sidecar.proxy.budget import Budget
from authz_sidecar.proxy.client import Client
from authz_sidecar.proxy.departures import ClientSweep
from authz_sidecar.proxy.pool import UpstreamPool

COUNTED_SHARE: Final = 0.75
"""Of the memory that clients may fill: the rest is the allocator's, and of objects that are not counted."""


class Revocable(Protocol):
    """A request that is on its way to the service and back."""

    decision: Decision | None

    @property
    def head(self) -> RequestHead:
        """What was decided on."""

    def revise(self, revised: Decision) -> None:
        """It was decided again: end it if it is no longer let through."""


class Ending(Protocol):
    """A connection that can be ended at any moment."""

    def abort(self) -> None:
        """Do so."""


class Shared:
    """The parts that requests are served with, and who is being served."""

    request_id_header: bytes = b""
    """Under which the service's answers carry the request's id; empty: they do not."""
    token_places: TokenPlaces | None
    """Where what is not for the service may be; `None` where that is nowhere."""

    def __init__(
        self,
        pipeline: Pipeline,
        pool: UpstreamPool,
        observer: RequestObserver,
        clock: Clock,
        limits: ProxyLimits,
        trusts: Callable[[str], bool],
        cors_origins: frozenset[str] = frozenset(),
        identity: IdentityHeaders | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        self.pipeline = pipeline
        self.token_places = pipeline.token_places if pipeline.token_places.removes else None
        self.pool = pool
        self.observer = observer
        self.clock = clock
        self.limits = limits
        self.trusts = trusts
        """Whether a peer's forwarding headers are believed."""
        self.cors_origins = cors_origins
        self.identity = identity
        """What the service is told of who asks."""
        self.tracer = tracer
        self.budget = Budget(int(COUNTED_SHARE * limits.buffer_bytes))
        self.clients: set[Client] = set()
        self.handshakes: set[Ending] = set()
        """Connections that have yet to agree on TLS. Each has the place that it will need as a client."""
        self.revocable: set[Revocable] = set()
        self.draining = False
        """Whether no further connection is taken."""
        self.leaving = False
        """Whether every connection ends with its next answer: what comes next is somebody else's."""
        self.empty = asyncio.Event()
        """Set when the last client has gone, and who was to become one."""
        self._sweep = ClientSweep(self.clients, clock)
        self.deadline = self._sweep.deadline
        self._tasks: set[asyncio.Task[None]] = set()
        self._id_prefix = secrets.token_hex(8)
        self._ids = count(1)

    def connected(self, client: Client) -> bool:
        """Note a connection; false when there are too many."""
        self.clients.add(client)
        self.empty.clear()
        self._sweep.start()
        return not self.draining and len(self.clients) <= self.limits.connections

    @property
    def has_room(self) -> bool:
        """Whether another connection may agree on TLS first, and then be a client."""
        return not self.draining and len(self.clients) + len(self.handshakes) < self.limits.connections

    def began(self, handshake: Ending) -> None:
        """Note a connection that has yet to agree on TLS."""
        self.handshakes.add(handshake)
        self.empty.clear()

    def settled(self, handshake: Ending) -> None:
        """It has, or never will."""
        self.handshakes.discard(handshake)
        self._look_whether_empty()

    def disconnected(self, client: Client) -> None:
        self.clients.discard(client)
        self._look_whether_empty()

    def _look_whether_empty(self) -> None:
        if not self.clients and not self.handshakes:
            self.empty.set()

    def new_request_id(self) -> str:
        return self._id_prefix + format(next(self._ids), "08x")  # compiled, cheaper than an f-string

    def failed(self, request_id: str, status: int, code: FaultCode, peer: str, detail: str = "") -> None:
        """Tell the observer of a request that is ended without a decision, or in spite of one."""
        self.observer.failed(Failure(request_id, status, code, peer, detail))

    def end_with_token(self, request: Revocable) -> asyncio.TimerHandle | None:
        """Have what may go on for ever end when the token does that let it begin."""
        decision = request.decision
        if (
            decision is None
            or decision.identity is None
            or not decision.rests_on_token
            or not self.limits.end_with_token
        ):
            return None
        left = decision.identity.expires_at - self.clock.wall()
        return asyncio.get_running_loop().call_later(max(left, 0.0), self._expire, request)

    def _expire(self, request: Revocable) -> None:
        if request.decision is not None:
            request.revise(self.pipeline.expired(request.decision))

    def spawn(self, waiting: Coroutine[None, None, None]) -> None:
        """Run in the background; a failure is logged by the loop."""
        task = asyncio.get_running_loop().create_task(waiting)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def stop(self) -> None:
        """Time nothing any more, and drop the connections to the service."""
        self._sweep.stop()
        self.pool.close()
