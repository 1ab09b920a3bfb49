"""Arbitrary bytes, split anywhere: no crash, no hang, nothing undecided upstream."""

from __future__ import annotations

import asyncio

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from authz_sidecar.core.limits import ProxyLimits
from wire import running

EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
LIMITS = ProxyLimits(head_seconds=0.2, body_seconds=0.2, idle_seconds=0.2, linger_seconds=0.2)

PIECES = [
    *(
        b"GET ",
        b"POST ",
        b"DELETE ",
        b"HEAD ",
        b"CONNECT ",
        b"/",
        b"/students/",
        b"/open/x",
        b"/socket/",
        b" ",
    ),
    *(
        b" HTTP/1.1\r\n",
        b" HTTP/1.0\r\n",
        b"\r\n",
        b"\n",
        b"\r",
        b"\r\n\r\n",
        b"Host: x\r\n",
        b":",
        b"\0",
        b"\xff",
    ),
    *(b"Content-Length: ", b"0", b"3", b"5\r\n", b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: "),
    *(b"3\r\nabc\r\n", b"0\r\n\r\n", b"abc", b";x=y", b"Connection: Upgrade\r\n", b"Upgrade: websocket\r\n"),
    *(
        b"Upgrade: h2c\r\n",
        b"Connection: close\r\n",
        b"Expect: 100-continue\r\n",
        b"Authorization: Bearer bob\r\n",
    ),
    *(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"DELETE /students/1/ HTTP/1.1\r\nHost: x\r\n\r\n"),
    *(
        b"POST /open/x HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n",
        b"GET /socket/ HTTP/1.1\r\nHost: x\r\n",
    ),
    b"POST /open/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
]
ANSWER_PIECES = [
    *(
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.0 200 OK\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 204 No\r\n",
    ),
    *(b"HTTP/1.1 101 Go\r\n", b"\r\n", b"\n", b"\0", b"Content-Length: 3\r\n", b"abc", b"X: y\r\n"),
    *(b"Transfer-Encoding: chunked\r\n", b"3\r\nabc\r\n", b"0\r\n\r\n", b"Connection: close\r\n"),
    b"Connection: Upgrade\r\nUpgrade: websocket\r\n",
]
STREAM = st.lists(st.sampled_from(PIECES) | st.binary(max_size=8), min_size=1, max_size=30)
ANSWER = st.lists(st.sampled_from(ANSWER_PIECES) | st.binary(max_size=8), max_size=12)
fuzz = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@fuzz
@given(pieces=STREAM, together=st.integers(1, 5))
def test_no_crash_no_hang_nothing_undecided(pieces: list[bytes], together: int) -> None:
    asyncio.run(attack(pieces, together))


async def attack(pieces: list[bytes], together: int) -> None:
    """Nobody here holds a permission, so what is governed must never arrive."""
    failures = watch()
    async with running(LIMITS, answer=EMPTY) as rig, asyncio.timeout(10):
        client = await rig.client()
        for start in range(0, len(pieces), together):
            client.writer.write(b"".join(pieces[start : start + together]))
            await asyncio.sleep(0)
        client.eof()
        await client.closed()
        forwarded = [decision for decision in rig.observer.decisions if decision.forward]
        assert rig.upstream.received.count(b"\r\nX-Request-Id: ") <= len(forwarded)
        for decision in forwarded:
            assert decision.method in ("GET", "HEAD", "OPTIONS") or decision.rule == "POST /open/{rest:path}"
    assert not failures


@fuzz
@given(pieces=ANSWER)
def test_any_answer_ends_the_exchange(pieces: list[bytes]) -> None:
    asyncio.run(answer_with(b"".join(pieces)))


async def answer_with(answer: bytes) -> None:
    failures = watch()
    async with running(LIMITS) as rig, asyncio.timeout(10):
        client = await rig.client()
        await client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        client.eof()
        peer = await rig.upstream.accept()
        await peer.contains(b"\r\n\r\n")
        peer.writer.write(answer)
        peer.close()
        await client.closed()
        assert len(rig.observer.answers) == 1
        assert not rig.server.governed
    assert not failures


def watch() -> list[object]:
    """What the loop's exception handler hears from now on."""
    failures: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
    return failures
