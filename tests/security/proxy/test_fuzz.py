"""Arbitrary bytes, split anywhere: no crash, no hang, nothing undecided upstream, nobody else's answer."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from itertools import pairwise

import h11
from gunicorn.http.errors import ExpectationFailed
from hypothesis import given, settings
from hypothesis import strategies as st

from authz_sidecar.config.limits import ProxyLimits
from authz_sidecar.core.rules import SAFE_METHODS
from lab import DEADLINE
from lab.wire import Peer, Rig, running
from lab.wire.parsers import Request, by_h11, read_alike
from lab.wire.peers import wait_for

EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
LIMITS = ProxyLimits(linger_seconds=0.2)

FIRST = b"GET /first HTTP/1.1\r\nHost: x\r\n\r\n"
LINES = [
    b"GET / HTTP/1.1\r\n",
    b"GET /socket/ HTTP/1.1\r\n",
    b"HEAD /students/ HTTP/1.1\r\n",
    b"OPTIONS * HTTP/1.1\r\n",
    b"POST /open/x HTTP/1.1\r\n",
    b"POST /open/x?y HTTP/1.1\r\n",
    b"POST /%6fpen/x HTTP/1.1\r\n",
    b"POST /open/x HTTP/1.0\r\n",
    b"DELETE /students/1/ HTTP/1.1\r\n",
    b"PATCH /%73tudents/1/ HTTP/1.1\r\n",
    b"CONNECT x:80 HTTP/1.1\r\n",
    b"PURGE / HTTP/1.1\r\n",
]
FIELDS = [
    b"Authorization: Bearer bob\r\n",
    b"Authorization: Bearer x\r\n",
    b"Connection: close\r\n",
    b"Connection: keep-alive\r\n",
    b"Connection: Upgrade\r\nUpgrade: websocket\r\n",
    b"Connection: Upgrade\r\nUpgrade: h2c\r\n",
    b"Expect: 100-continue\r\n",
    b"Content_Length: 3\r\n",
    b"X: y\r\n",
]
HIDDEN = b"DELETE /students/1/ HTTP/1.1\r\nHost: x\r\n\r\n"
BODIES = [
    b"\r\n",
    b"Content-Length: 0\r\n\r\n",
    b"Content-Length: 3\r\n\r\nabc",
    b"Content-Length: %d\r\n\r\n%b" % (len(HIDDEN), HIDDEN),
    b"Content-Length: 5\r\n\r\nabc",
    b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n\r\n%x;x=y\r\n%b\r\n0\r\nX: y\r\n\r\n" % (len(HIDDEN), HIDDEN),
    b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n" + HIDDEN,
]
PIECES = [
    *(b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b";", b"\0", b"\xff", b"0", b"3", b"/", b"chunked"),
    *(b"\r\n\r\n", b"0\r\n\r\n", b"3\r\nabc\r\n", b"abc", b"Host: x\r\n", b"Content-Length: ", HIDDEN),
    *(b"Transfer-Encoding: ", b"Transfer-Encoding: chunked\r\n", b"Content-Length: 3\r\n", b" HTTP/1.1\r\n"),
    *(*LINES, *FIELDS),
]
REQUEST = st.tuples(
    st.sampled_from(LINES),
    st.just(b"Host: x\r\n"),
    st.lists(st.sampled_from(FIELDS), max_size=2).map(b"".join),
    st.sampled_from(BODIES),
).map(b"".join)
EDIT = st.tuples(st.floats(0, 1), st.integers(0, 4), st.sampled_from(PIECES) | st.binary(max_size=4))


def edited(stream: bytes, edits: Iterable[tuple[float, int, bytes]]) -> bytes:
    """`stream` with other bytes in some places."""
    for place, size, piece in edits:
        start = int(place * len(stream))
        stream = stream[:start] + piece + stream[start + size :]
    return stream


NEARLY_REQUESTS = st.builds(
    edited, st.lists(REQUEST, min_size=1, max_size=4).map(b"".join), st.lists(EDIT, max_size=3)
)
NO_REQUESTS = st.lists(st.sampled_from(PIECES) | st.binary(max_size=8), min_size=1, max_size=30).map(b"".join)
STREAM = NEARLY_REQUESTS | NO_REQUESTS
CUTS = st.lists(st.floats(0, 1), max_size=8)
fuzz = settings(max_examples=150)


def cut(stream: bytes, places: list[float]) -> list[bytes]:
    """In pieces. Every second place is the end of a line, where a message changes its state."""
    lines = [end.end() for end in re.finditer(b"\r\n", stream)] or [0]
    ends = [lines[int(place * (len(lines) - 1))] for place in places[::2]]
    bounds = [0, *sorted(ends + [int(place * len(stream)) for place in places[1::2]]), len(stream)]
    return [stream[start:end] for start, end in pairwise(bounds)]


@fuzz
@given(stream=STREAM, cuts=CUTS)
def test_no_crash_no_hang_nothing_undecided(stream: bytes, cuts: list[float]) -> None:
    """However it is cut, the same requests arrive, only that an early refusal may end the connection sooner;
    and they are among those that an independent parser finds in what the client has sent."""
    split = asyncio.run(arrivals(cut(stream, cuts)))
    whole = asyncio.run(arrivals([stream]))
    shorter = min(len(split), len(whole))
    assert split[:shorter] == whole[:shorter]
    if b"HTTP/1.0" not in stream:  # h11 keeps no such connection alive
        with suppress(h11.RemoteProtocolError):  # it is stricter here and there
            assert said(whole) <= said(by_h11(FIRST + stream))


def said(requests: Iterable[Request]) -> Counter[tuple[str, str, bytes]]:
    return Counter((request.method, request.target, request.body) for request in requests)


async def arrivals(pieces: list[bytes]) -> list[Request]:
    """The whole requests that reached the upstream, without their fields. Nobody here holds a permission."""
    failures = watch()
    async with running(LIMITS, answer=EMPTY) as rig, asyncio.timeout(DEADLINE):
        client = await rig.client()
        await client.send(FIRST)
        await client.contains(EMPTY)  # now there is a connection to the upstream, and nothing waits for one
        await write(client, pieces)
        with suppress(OSError):  # it may be closed already
            client.eof()
        await client.closed()
        arrived = judged(rig)
    assert not failures
    return [request._replace(fields=()) for request in arrived]


async def write(peer: Peer, pieces: list[bytes]) -> None:
    """Each piece by itself: the proxy has taken one before the next is sent."""
    for piece in pieces:
        peer.writer.write(piece)
        for _ in range(3):
            await asyncio.sleep(0)


def judged(rig: Rig) -> list[Request]:
    """The whole requests at the upstream, each of which was decided on, and which all parsers read alike."""
    forwarded = [decision for decision in rig.observer.decisions if decision.forward]
    for decision in forwarded:
        assert decision.method in SAFE_METHODS or decision.rule == "POST /open/{rest:path}"
    streams = [peer.received for peer in rig.upstream.peers]
    arrived = [request for stream in streams for request in by_h11(stream)]
    decided = Counter((decision.method, decision.target) for decision in forwarded)
    assert Counter((request.method, request.target) for request in arrived) <= decided
    begun = sum(stream.count(b"\r\nX-Request-Id: ") for stream in streams)
    assert begun <= len(forwarded)
    if begun == len(arrived):  # none was cut off
        with suppress(ExpectationFailed):  # gunicorn says no to other expectations than 100-continue
            assert [request for stream in streams for request in read_alike(stream)] == arrived
    return arrived


STATUS_LINES = [
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 204 No\r\n",
    b"HTTP/1.1 304 Same\r\n",
    b"HTTP/1.0 200 OK\r\n",
    b"HTTP/1.1 100 Go on\r\n\r\nHTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 101 Go\r\n",
]
ANSWER_FIELDS = [b"X: y\r\n", b"Connection: close\r\n", b"Connection: Upgrade\r\nUpgrade: websocket\r\n"]
POISON = b"HTTP/1.1 200 Poison\r\nContent-Length: 0\r\n\r\n"
ANSWER_BODIES = [
    b"\r\n",
    b"Content-Length: 0\r\n\r\n",
    b"Content-Length: 3\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n\r\n",
    b"Content-Length: 3\r\n\r\nabc",
    b"Content-Length: %d\r\n\r\n%b" % (len(POISON), POISON),
    b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\nX: y\r\n\r\n" % (len(POISON), POISON),
]
ANSWER_PIECES = [*STATUS_LINES, *ANSWER_FIELDS, *ANSWER_BODIES, *PIECES[:13], POISON]
NEARLY_ANSWERS = st.builds(
    edited,
    st.tuples(
        st.sampled_from(STATUS_LINES),
        st.lists(st.sampled_from(ANSWER_FIELDS), max_size=1).map(b"".join),
        st.sampled_from(ANSWER_BODIES),
    ).map(b"".join),
    st.lists(EDIT, max_size=2),
)
NO_ANSWERS = st.lists(st.sampled_from(ANSWER_PIECES) | st.binary(max_size=8), max_size=12).map(b"".join)
ANSWER = NEARLY_ANSWERS | NO_ANSWERS
METHODS = st.sampled_from([b"GET", b"HEAD", b"OPTIONS"])
OWN = b"HTTP/1.1 200 Own\r\nContent-Length: 3\r\n\r\nown"


@fuzz
@given(method=METHODS, answer=ANSWER, cuts=CUTS)
def test_any_answer_ends_the_exchange_and_is_nobody_elses(
    method: bytes, answer: bytes, cuts: list[float]
) -> None:
    asyncio.run(answer_with(method, cut(answer, cuts)))


async def answer_with(method: bytes, pieces: list[bytes]) -> None:
    failures = watch()
    async with running() as rig, asyncio.timeout(DEADLINE), asyncio.TaskGroup() as reading:
        first, second = await rig.client(), await rig.client()
        await first.send(method + b" /first HTTP/1.1\r\nHost: x\r\n\r\n")
        peer = await rig.upstream.accept()
        await peer.contains(b"\r\n\r\n")
        reading.create_task(peer.closed())
        await write(peer, pieces)
        await second.send(b"GET /second HTTP/1.1\r\nHost: x\r\n\r\n")
        await (await asked_again(rig, peer)).send(OWN)
        assert await second.contains(b"own") == OWN
        first.eof()
        peer.close()
        await first.closed()
        assert len(rig.observer.answers) == 2
        assert not rig.shared.revocable
    assert not failures


async def asked_again(rig: Rig, first: Peer) -> Peer:
    """Where the second request arrives: on the connection of the first, if that is clean."""
    await wait_for(lambda: b"/second" in first.received or len(rig.upstream.peers) == 2)
    if b"/second" in first.received:
        return first
    second = rig.upstream.peers[1]
    await second.contains(b"\r\n\r\n")
    return second


def watch() -> list[object]:
    """What the loop's exception handler hears from now on."""
    failures: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
    return failures
