"""What the byte path answers by itself is reported: each answer once, each failure by its code."""

from __future__ import annotations

import asyncio

import pytest

from authz_sidecar.config.limits import ProxyLimits
from authz_sidecar.core.verdicts import Failure
from lab.wire import Client, Rig, running
from lab.wire.peers import wait_for

LIMITS = ProxyLimits(head_bytes=8192, head_fields=5, target_bytes=100, body_bytes=10)
HOUR = 3600.0
GET = b"GET / HTTP/1.1\r\nHost: x\r\nX-Request-Id: mine\r\n"
END = b"Connection: close\r\n\r\n"


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        (b"GET / HTTP/1.1\n\0", 400, "malformed_request"),
        (b"GET / HTTP/1.1\r\n\r\n", 400, "malformed_request"),
        (b"GET / HTTP/1.1\r\nHo", 408, "request_timeout"),
        (b"POST /open/ HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n", 413, "body_too_large"),
        (b"GET /%b HTTP/1.1\r\nHost: x\r\n\r\n" % (b"a" * 100), 414, "target_too_long"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n%b\r\n" % (b"A: b\r\n" * 5), 431, "head_too_large"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: %b\r\n\r\n" % (b"b" * 20_000), 431, "head_too_large"),
        (b"BREW / HTTP/1.1\r\nHost: x\r\n\r\n", 501, "method_unknown"),
        (b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505, "version_unsupported"),
    ],
)
async def test_what_is_no_request_is_counted_and_never_decided(
    request_: bytes, status: int, code: str
) -> None:
    async with running(LIMITS) as rig:
        client = await rig.client()
        await client.send(request_)
        if status == 408:
            await wait_for(lambda: rig.server.clients)
            rig.clock.ahead = HOUR
        answer = await client.rest()
        assert answer.startswith(b"HTTP/1.1 %d " % status)
        (failure,) = rig.observer.failures
        assert failure[:4] == (failure.request_id, status, code, "127.0.0.1")
        assert failure.request_id.encode() in answer
        assert (rig.observer.answers, rig.observer.decisions) == ([status], [])
        assert not rig.upstream.peers


@pytest.mark.parametrize(("status", "code"), [(502, "upstream_unreachable"), (504, "upstream_timeout")])
async def test_a_service_that_gives_no_answer_is_counted_besides_the_decision(status: int, code: str) -> None:
    async with running(LIMITS) as rig:
        if status == 502:
            await rig.upstream.stop()
        asking = asyncio.create_task(rig.ask(GET + END))
        if status == 504:
            await (await rig.upstream.accept()).contains(b"\r\n\r\n")
            rig.clock.ahead = HOUR
        assert (await asking).startswith(b"HTTP/1.1 %d " % status)
        (failure,) = rig.observer.failures
        assert failure[:4] == ("mine", status, code, "127.0.0.1")
        assert (rig.observer.answers, len(rig.observer.decisions)) == ([status], 1)


async def test_a_connection_too_many_is_counted() -> None:
    async with running(ProxyLimits(connections=1)) as rig:
        await rig.client()
        async with await Client.connect(rig.port) as second:
            assert b"too_many_connections" in await second.rest()
        (failure,) = rig.observer.failures
        assert (failure.status, failure.code, rig.observer.answers) == (503, "too_many_connections", [503])


@pytest.mark.parametrize("waits", [False, True])
async def test_our_own_fault_is_500_and_counted(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, waits: bool
) -> None:
    """The failure of a part that is passed in, at once or after a wait."""

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(rig.permissions, "_wait" if waits else "authorize", broken)
    rig.permissions.gate.clear()
    request = GET.replace(b"GET /", b"DELETE /students/1/") + b"Authorization: Bearer alice\r\n" + END
    assert (await rig.ask(request)).startswith(b"HTTP/1.1 500 ")
    assert rig.observer.failures == [Failure("mine", 500, "internal_error", "127.0.0.1")]
    assert (rig.observer.answers, rig.observer.decisions) == ([500], [])
    assert not rig.upstream.peers


async def test_who_leaves_before_the_decision_is_counted(rig: Rig) -> None:
    rig.permissions.gate.clear()
    client = await rig.client()
    await client.send(b"DELETE /students/1/ HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer alice\r\n\r\n")
    await wait_for(lambda: rig.server.clients and not rig.server.clients[0].idle)
    client.reset()
    await wait_for(lambda: rig.observer.answers == [499])
    assert (rig.observer.failures, rig.observer.decisions) == ([], [])
