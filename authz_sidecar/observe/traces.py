"""Spans for OpenTelemetry, exported over OTLP/HTTP by a thread of the SDK. Imported only where traces are on.

One span a request, with an event for each step. What is not sampled costs a look at one header, and its trace
context goes on to the service as it came.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from authz_sidecar import __version__
from authz_sidecar.core import tracing
from authz_sidecar.core.ports import Authenticator, Authorizer, Clock, Pending
from authz_sidecar.core.tracing import Parent
from authz_sidecar.core.verdicts import Decision, Identity, Question, RequestHead, Verdict
from authz_sidecar.observe.composed import shown

STOP_MILLISECONDS: Final = 1500
"""What the end waits for the collector."""
_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)


class RequestSpan:
    """Implements `core.tracing.Span`."""

    def __init__(self, span: trace.Span) -> None:
        self._span = span
        context = span.get_span_context()
        self.trace_id = f"{context.trace_id:032x}"
        self.traceparent = f"00-{self.trace_id}-{context.span_id:016x}-01".encode()

    def step(self, name: str, at: float, **attributes: str | int | float | bool) -> None:
        if self._span.is_recording():
            self._span.add_event(name, attributes, _nanoseconds(at))

    def decided(self, decision: Decision, at: float) -> None:
        verdict = decision.verdict
        found: dict[str, str | bool] = {
            "authz.code": verdict.code.value,
            "authz.allowed": verdict.allowed,
            "authz.enforced": decision.enforced,
            "authz.policy": decision.policy,
        }
        if decision.rule is not None:
            found["authz.rule"] = decision.rule
            self._span.update_name(decision.rule)
        if verdict.position is not None:
            found["authz.revision"] = str(verdict.position.token)
        self._span.set_attributes(found)
        self.step("revoked" if decision.revoking else "decided", at, **found)

    def ended(self, status: int, at: float) -> None:
        self._span.set_attribute("http.response.status_code", status)
        if status >= 500:
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end(_nanoseconds(at))


_current: ContextVar[RequestSpan | None] = ContextVar("authz_span", default=None)
"""Of the request that is being decided, here or in a task that was begun for it."""


class Tracing:
    """Implements `core.tracing.Tracer`. `sample`: the share of requests that are traced, 0 to 1.

    A trusted peer's own wish, in its `traceparent`, goes before it.
    """

    def __init__(self, endpoint: str, sample: float) -> None:
        """`endpoint`: of an OTLP collector over HTTP, like http://127.0.0.1:4318."""
        self._sample = sample
        self._exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=5)
        resource = Resource.create({"service.name": "authz-sidecar", "service.version": __version__})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer = self._provider.get_tracer("authz_sidecar")

    def begin(self, head: RequestHead, request_id: str, at: float, *, trusted: bool) -> RequestSpan | None:
        parent = tracing.parent(head.fields)
        span = self._begun(head, request_id, at, parent) if self._wanted(parent, trusted=trusted) else None
        _current.set(span)
        return span

    def watching(
        self, authenticator: Authenticator, authorizer: Authorizer, clock: Clock
    ) -> tuple[Authenticator, Authorizer]:
        """The same, as steps of the request that they are asked for."""
        return TracedAuthenticator(authenticator, clock.wall), TracedAuthorizer(authorizer, clock.wall)

    def stop(self) -> None:
        """Export what has ended, unless that takes too long."""
        self._provider.force_flush(STOP_MILLISECONDS)
        self._exporter.shutdown()  # type: ignore[no-untyped-call]  # the SDK leaves the return type out
        self._provider.shutdown()

    def _wanted(self, parent: Parent | None, *, trusted: bool) -> bool:
        if parent is not None and trusted:
            return parent.sampled
        return random.random() < self._sample  # noqa: S311 (a sample, no secret)

    def _begun(self, head: RequestHead, request_id: str, at: float, parent: Parent | None) -> RequestSpan:
        attributes = {
            "http.request.method": head.method,
            "url.path": shown(head.target.decode("latin-1")),
            "authz.request_id": request_id,
        }
        context = None
        if parent is not None:
            remote = SpanContext(parent.trace_id, parent.span_id, is_remote=True, trace_flags=_SAMPLED)
            context = trace.set_span_in_context(NonRecordingSpan(remote))
        span = self._tracer.start_span(
            head.method, context, SpanKind.SERVER, attributes, start_time=_nanoseconds(at)
        )
        return RequestSpan(span)


# the steps of the pipeline


@dataclass(frozen=True, slots=True)
class TracedAuthenticator:
    """Implements `core.ports.Authenticator`: tells when another one was asked, and how long it took."""

    inner: Authenticator
    wall: Callable[[], float]

    def authenticate(self, token: bytes, now: float) -> Identity | Pending:
        began = self.wall()
        try:
            return self.inner.authenticate(token, now)
        finally:
            _told("authenticate", began, self.wall())


@dataclass(frozen=True, slots=True)
class TracedAuthorizer:
    """Implements `core.ports.Authorizer`, likewise."""

    inner: Authorizer
    wall: Callable[[], float]

    def authorize(self, question: Question, now: float) -> Verdict | Pending:
        began = self.wall()
        found = self.inner.authorize(question, now)
        _told("authorize", began, self.wall(), waits=not isinstance(found, Verdict))
        return found


def _told(step: str, began: float, ended: float, **attributes: bool) -> None:
    span = _current.get()
    if span is not None:
        span.step(step, ended, seconds=ended - began, **attributes)


def _nanoseconds(at: float) -> int:
    return int(at * 1e9)
