"""An exchange that tells a span how far it has come. There are none where nothing is traced."""

from __future__ import annotations

from authz_sidecar.answers import Fault
from authz_sidecar.core import tracing
from authz_sidecar.core.tracing import Span
from authz_sidecar.core.verdicts import Decision
from authz_sidecar.proxy.client import Client
from authz_sidecar.proxy.exchange import Exchange
from authz_sidecar.proxy.messages import IncomingRequest, IncomingResponse
from authz_sidecar.proxy.shared import Shared
from authz_sidecar.proxy.states import OVER
from authz_sidecar.proxy.upstream import UpstreamConnection


class TracedExchange(Exchange):
    """What it does is what any exchange does."""

    _span: Span | None = None

    def __init__(self, shared: Shared, client: Client, request: IncomingRequest) -> None:
        super().__init__(shared, client, request)
        tracer = shared.tracer
        if tracer is not None and request.fault is None:
            now = shared.clock.wall()
            self._span = tracer.begin(self.head, self.request_id, now, trusted=client.trusted)
            if self._span is not None:
                tracing.pass_on(request.fields, self._span.traceparent)
                self.trace_id = self._span.trace_id

    def _decided(self, decision: Decision, since: float) -> None:
        if self._span is not None:
            self._span.decided(decision, self._shared.clock.wall())
        super()._decided(decision, since)

    def _connect(self, unsent: bytes, *, whole: bool) -> None:
        self._step("connecting")
        super()._connect(unsent, whole=whole)

    def _begin(self, connection: UpstreamConnection, unsent: bytes, *, whole: bool) -> None:
        self._step("sent to the service")
        super()._begin(connection, unsent, whole=whole)

    def _response_head(self, response: IncomingResponse, *, chunked: bool) -> bytes:
        self._step("answer began")
        return super()._response_head(response, chunked=chunked)

    def revise(self, revised: Decision) -> None:
        if self._span is not None and revised.revoking and self._state is not OVER:
            self._span.decided(revised, self._shared.clock.wall())
        super().revise(revised)

    def fail(self, fault: Fault, cause: str = "") -> None:
        self._step(f"failed: {fault.code}")
        super().fail(fault, cause)

    def _finish(self, status: int, *, broken: bool = False) -> None:
        span, self._span = self._span, None
        if span is not None:
            span.ended(status, self._shared.clock.wall())
        super()._finish(status, broken=broken)

    def _step(self, name: str) -> None:
        if self._span is not None:
            self._span.step(name, self._shared.clock.wall())
