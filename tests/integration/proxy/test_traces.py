"""Spans as a collector receives them, decoded from protobuf; and what the service is told of them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from authz_sidecar.core.bearer import TokenPlaces
from authz_sidecar.observe.traces import Tracing
from lab.stack.collector import Collector, attributes
from lab.wire import Rig, running

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture
def collector() -> Iterator[Collector]:
    started = Collector()
    yield started
    started.stop()


@pytest.fixture
async def traced(collector: Collector) -> AsyncIterator[Rig]:
    """A proxy that traces everything, for peers that are trusted."""
    async with running(trusts=lambda _: True) as rig:
        trace(rig, Tracing(collector.url, 1.0))
        yield rig


def trace(rig: Rig, tracing: Tracing) -> None:
    pipeline = rig.shared.pipeline
    rig.shared.tracer = tracing
    found = tracing.watching(rig.permissions, rig.permissions, rig.clock)
    pipeline.authenticator, pipeline.authorizer = found


def exported(rig: Rig, collector: Collector) -> list[Any]:
    tracing = rig.shared.tracer
    assert isinstance(tracing, Tracing)
    tracing.stop()
    return collector.spans()


def request(token: bytes, *fields: bytes, target: bytes = b"/students/3/?secret=1") -> bytes:
    lines = [b"PATCH %b HTTP/1.1" % target, b"Host: x", b"Content-Length: 0", *fields]
    return b"\r\n".join([*lines, b"Authorization: Bearer " + token, b"", b""])


async def test_one_span_a_request_with_its_steps(traced: Rig, collector: Collector) -> None:
    await traced.exchanged(request(b"alice"), OK)
    (span,) = exported(traced, collector)
    assert span.name == "PATCH /students/{id}/"
    steps = [event.name for event in span.events]
    assert steps == [
        "authenticate",
        "authorize",
        "decided",
        "connecting",
        "sent to the service",
        "answer began",
    ]
    told = attributes(span)
    assert told["http.response.status_code"] == 200
    assert (told["authz.code"], told["authz.rule"]) == ("granted", "PATCH /students/{id}/")
    assert told["url.path"] == "/students/3/"
    assert not any(b"alice" in body or b"secret" in body for _, body in collector.bodies)
    (ended,) = traced.observer.ended
    assert (ended.trace_id, ended.upstream is not None) == (span.trace_id.hex(), True)
    assert span.start_time_unix_nano <= span.events[0].time_unix_nano <= span.end_time_unix_nano


@pytest.mark.parametrize(
    ("token", "steps", "code"),
    [
        (b"bob", ["authenticate", "authorize", "decided"], "permission_denied"),
        (b"mallory", ["authenticate", "decided"], "token_invalid"),
    ],
)
async def test_a_refusal(
    traced: Rig, collector: Collector, token: bytes, steps: list[str], code: str
) -> None:
    await traced.ask(request(token))
    (span,) = exported(traced, collector)
    assert [event.name for event in span.events] == steps
    assert attributes(span)["authz.code"] == code
    assert traced.observer.ended[0].upstream is None


async def test_a_decision_that_waits(traced: Rig, collector: Collector) -> None:
    waits, wait = asyncio.Event(), traced.permissions._wait

    async def told() -> None:
        waits.set()
        await wait()

    traced.permissions._wait = told  # type: ignore[method-assign]
    traced.permissions.gate.clear()
    exchange = asyncio.create_task(traced.exchanged(request(b"alice"), OK))
    await waits.wait()
    traced.permissions.gate.set()
    await exchange
    (span,) = exported(traced, collector)
    steps = [event.name for event in span.events]
    assert steps[:5] == ["authenticate", "authorize", "authenticate", "authorize", "decided"]
    assert [attributes(event)["waits"] for event in span.events[1:5:2]][:1] == [True]


async def test_the_context_is_passed_on(traced: Rig, collector: Collector) -> None:
    parent = f"traceparent: 00-{TRACE}-{PARENT}-01".encode()
    _, peer = await traced.exchanged(request(b"alice", parent, b"tracestate: vendor=1"), OK)
    (span,) = exported(traced, collector)
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, PARENT)
    assert re.findall(rb"(?i)traceparent: (.*)\r\n", peer.received) == [
        f"00-{TRACE}-{span.span_id.hex()}-01".encode()
    ]
    assert b"tracestate: vendor=1" in peer.received


async def test_what_a_stranger_or_the_share_leaves_out_goes_on_as_it_came(collector: Collector) -> None:
    async with running() as rig:  # nobody is trusted
        trace(rig, Tracing(collector.url, 0.0))
        _, peer = await rig.exchanged(request(b"alice", f"traceparent: 00-{TRACE}-{PARENT}-01".encode()), OK)
        assert f"traceparent: 00-{TRACE}-{PARENT}-01".encode() in peer.received
        assert exported(rig, collector) == []


async def test_a_malformed_context_begins_another_trace(traced: Rig, collector: Collector) -> None:
    await traced.exchanged(request(b"alice", f"traceparent: 00-{'0' * 32}-{PARENT}-01".encode()), OK)
    (span,) = exported(traced, collector)
    assert span.parent_span_id == b""


async def test_nothing_is_changed_where_nothing_is_traced(rig: Rig) -> None:
    _, peer = await rig.exchanged(request(b"alice", f"traceparent: 00-{TRACE}-{PARENT}-00".encode()), OK)
    assert [each.trace_id for each in rig.observer.ended] == [""]
    assert f"traceparent: 00-{TRACE}-{PARENT}-00".encode() in peer.received


@pytest.mark.parametrize(
    "field",
    [b"Cookie: token=s3cr3t", b"Sec-WebSocket-Protocol: chat, authz.bearer.s3cr3t", b"X-Token: s3cr3t"],
)
async def test_wherever_a_token_is_no_span_holds_it(collector: Collector, field: bytes) -> None:
    places = TokenPlaces(b"x-token", subprotocol=True, cookie="token")
    async with running(answer=OK, places=places) as rig:
        trace(rig, Tracing(collector.url, 1.0))
        line = b"GET /socket/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        assert b"token_invalid" in await rig.ask(line + b"Origin: http://x\r\n" + field + b"\r\n\r\n")
        (span,) = exported(rig, collector)
    assert attributes(span)["authz.code"] == "token_invalid"
    assert b"s3cr3t" not in b"".join(body for _, body in collector.bodies)
