"""What the service answers, hostile or broken, ends where it ends and is never another request's answer."""

from __future__ import annotations

import pytest

from lab.wire.front import Front, statuses

GET = b"GET /first HTTP/1.1\r\nHost: x\r\n\r\n"
HEAD = GET.replace(b"GET", b"HEAD")
OK = b"HTTP/1.1 200 OK\r\n"
POISON = b"HTTP/1.1 299 Poison\r\nContent-Length: 0\r\n\r\n"
OWN = b"HTTP/1.1 200 Own\r\nContent-Length: 3\r\n\r\nown"

# Request, answer, and the status that is passed on. Whatever is too much is nobody's answer.
POISONED = {
    "a second answer": (GET, OK + b"Content-Length: 0\r\n\r\n" + POISON, 200),
    "a second answer behind chunks": (GET, OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + POISON, 200),
    "a body on HEAD": (HEAD, OK + b"Content-Length: %d\r\n\r\n%b" % (len(POISON), POISON), 200),
    "chunks on HEAD": (HEAD, OK + b"Transfer-Encoding: chunked\r\n\r\n" + POISON, 200),
    "a body on 204": (GET, b"HTTP/1.1 204 No Content\r\nContent-Length: 9\r\n\r\n" + POISON, 204),
    "chunks on 204": (GET, b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n" + POISON, 204),
    "a body on 304": (GET, b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n" + POISON, 304),
    "two lengths": (GET, OK + b"Content-Length: 0\r\nContent-Length: %d\r\n\r\n" % len(POISON) + POISON, 502),
    "a list of lengths": (GET, OK + b"Content-Length: 0, 5\r\n\r\n" + POISON, 502),
    "length and chunks": (
        GET,
        OK + b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + POISON,
        502,
    ),
    "another coding": (GET, OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + POISON, 502),
    "chunked twice": (GET, OK + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n" + POISON, 502),
    "chunks in HTTP/1.0": (
        GET,
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + POISON,
        502,
    ),
    "a folded field": (GET, OK + b"X: y\r\n Content-Length: 0\r\n\r\n" + POISON, 502),
    "space before the colon": (GET, OK + b"Content-Length : 0\r\n\r\n" + POISON, 502),
    "bare LF": (GET, OK + b"X: y\nContent-Length: 0\r\n\r\n" + POISON, 200),
    "bare CR": (GET, OK + b"X: y\rContent-Length: 0\r\n\r\n" + POISON, 502),
    "NUL in a field": (GET, OK + b"X: \0\r\nContent-Length: 0\r\n\r\n" + POISON, 502),
    "no answer to HTTP/1.1": (GET, b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n" + POISON, 502),
    "an upgrade that nobody asked for": (
        GET,
        b"HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n" + POISON,
        502,
    ),
    "a line that is no answer": (GET, b"hello\r\n\r\n" + POISON, 502),
    "an endless head": (GET, OK + b"X: y\r\n" * 2**15, 502),
}


@pytest.mark.parametrize(("request_", "answer", "status"), POISONED.values(), ids=POISONED.keys())
async def test_what_is_too_much_is_nobodys_answer(
    front: Front, request_: bytes, answer: bytes, status: int
) -> None:
    """Two clients, one after the other, while the service keeps the first connection open."""
    front.tap.onward = 0
    async with await front.client() as first, await front.client() as second:
        await first.send(request_)
        peer = await front.tap.accept()
        await peer.contains(b"\r\n\r\n")
        await peer.send(answer)
        await first.contains(b"\r\n\r\n")
        await second.send(GET.replace(b"first", b"second"))
        other = await front.tap.accept()
        assert (await other.contains(b"\r\n\r\n")).startswith(b"GET /second ")
        await other.send(OWN)
        assert (await second.contains(b"own")) == OWN
        first.eof()
        assert statuses(await first.closed()) == [status]
    assert len(front.tap.peers) == 2  # no request was sent twice
