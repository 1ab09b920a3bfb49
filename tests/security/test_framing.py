"""What two parsers could read differently is refused, or is sent on so that they cannot.

The hidden request changes something and has no token: it may not arrive, wherever it is found.
"""

from __future__ import annotations

import pytest

from lab.wire.front import SENTINEL, Front, statuses
from lab.wire.parsers import by_h11

# GHSA-45c4-8wx5-qw6w, GHSA-gfw2-4jvh-wgfg, GHSA-pjjw-qhg8-p2p9 and CVE-2024-1135 are some of the names of
# what follows.
OPEN = b"POST /open/x HTTP/1.1\r\nHost: localhost\r\n"
READ = b"GET /students/ HTTP/1.1\r\nHost: localhost\r\n"
HIDDEN = b"DELETE /students/1/ HTTP/1.1\r\nHost: localhost\r\nX-Hidden: 1\r\n\r\n"


def framed(fields: bytes, body: bytes) -> bytes:
    return OPEN + fields + b"\r\n\r\n" + body


CL = b"Content-Length: %d" % len(HIDDEN)
TE = b"Transfer-Encoding: chunked"
LAST = b"0\r\n\r\n"

REFUSED = {
    "CL.TE": framed(CL + b"\r\n" + TE, LAST + HIDDEN),
    "TE.CL": framed(TE + b"\r\n" + b"Content-Length: 4", b"%x\r\n%b\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN)),
    "CL.CL": framed(b"Content-Length: 0\r\n" + CL, HIDDEN),
    "CL.CL equal": framed(CL + b"\r\n" + CL, HIDDEN),
    "CL list": framed(b"Content-Length: 0, %d" % len(HIDDEN), HIDDEN),
    "CL signed": framed(b"Content-Length: +%d" % len(HIDDEN), HIDDEN),
    "CL hexadecimal": framed(b"Content-Length: 0x10", HIDDEN),
    "CL with a space inside": framed(b"Content-Length: 1 0", HIDDEN),
    "CL with an underscore in the number": framed(b"Content-Length: 1_0", HIDDEN),
    "CL empty": framed(b"Content-Length:", HIDDEN),
    "CL too large": framed(b"Content-Length: 18446744073709551616", HIDDEN),
    "CL minus nothing": framed(b"Content-Length: -0", HIDDEN),
    "CL in other digits": framed("Content-Length: \u0663".encode(), HIDDEN),
    "TE.TE": framed(TE + b"\r\n" + TE, LAST + HIDDEN),
    "TE.TE, second unknown": framed(TE + b"\r\nTransfer-Encoding: x", LAST + HIDDEN),
    "TE.TE, first unknown": framed(b"Transfer-Encoding: x\r\n" + TE, LAST + HIDDEN),
    "TE list": framed(b"Transfer-Encoding: identity, chunked", LAST + HIDDEN),
    "TE chunked not last": framed(b"Transfer-Encoding: chunked, identity", LAST + HIDDEN),
    "TE twice in a list": framed(b"Transfer-Encoding: chunked, chunked", LAST + HIDDEN),
    "TE misspelt": framed(b"Transfer-Encoding: chunke", LAST + HIDDEN),
    "TE with a letter too many": framed(b"Transfer-Encoding: xchunked", LAST + HIDDEN),
    "TE identity": framed(b"Transfer-Encoding: identity\r\n" + CL, HIDDEN),
    "TE gzip": framed(b"Transfer-Encoding: gzip\r\n" + CL, HIDDEN),
    "TE empty": framed(b"Transfer-Encoding:\r\n" + CL, HIDDEN),
    "TE with a vertical tab": framed(b"Transfer-Encoding: \x0bchunked", LAST + HIDDEN),
    "TE with a form feed": framed(b"Transfer-Encoding: chunked\x0c", LAST + HIDDEN),
    "TE with NUL": framed(b"Transfer-Encoding: chunked\0", LAST + HIDDEN),
    "TE quoted": framed(b'Transfer-Encoding: "chunked"', LAST + HIDDEN),
    "TE with a parameter": framed(b"Transfer-Encoding: chunked;a=b", LAST + HIDDEN),
    "TE with a comma": framed(b"Transfer-Encoding: ,chunked", LAST + HIDDEN),
    "TE in HTTP/1.0": framed(TE, LAST + HIDDEN).replace(b"HTTP/1.1", b"HTTP/1.0", 1),
    "space before the colon": framed(b"Transfer-Encoding : chunked", LAST + HIDDEN),
    "tab before the colon": framed(b"Transfer-Encoding\t: chunked", LAST + HIDDEN),
    "line break before the colon": framed(b"Transfer-Encoding\r\n: chunked", LAST + HIDDEN),
    "bare CR before the name": framed(b"X: y\r\n\rTransfer-Encoding: chunked", LAST + HIDDEN),
    "a field without a colon": framed(b"Transfer-Encoding chunked", LAST + HIDDEN),
    "a field without a name": framed(b": chunked", LAST + HIDDEN),
    "byte outside ASCII in the name": framed(b"Transfer-Encoding\xa0: chunked", LAST + HIDDEN),
    "NUL in the name": framed(b"Transfer\0-Encoding: chunked", LAST + HIDDEN),
    "folded": framed(b"Transfer-Encoding:\r\n chunked", LAST + HIDDEN),
    "folded with a tab": framed(b"X: y\r\n\tTransfer-Encoding: chunked", LAST + HIDDEN),
    "field before the first": OPEN.replace(b"Host", b" X: y\r\nHost") + TE + b"\r\n\r\n" + LAST + HIDDEN,
    "bare LF": framed(b"X: y\n" + TE, LAST + HIDDEN),
    "bare CR": framed(b"X: y\r" + TE, LAST + HIDDEN),
    "bare LF ends the head": OPEN + b"\n" + HIDDEN,
    "CR CR LF ends the head": OPEN + b"\r\r\n" + HIDDEN,
    "chunk size empty": framed(TE, b"\r\nx\r\n0\r\n\r\n" + HIDDEN),
    "chunk size in other digits": framed(TE, "\u0661\r\nx\r\n0\r\n\r\n".encode() + HIDDEN),
    "chunk size with a space": framed(TE, b"1 \r\nx\r\n0\r\n\r\n" + HIDDEN),
    "chunk size signed": framed(TE, b"+1\r\nx\r\n0\r\n\r\n" + HIDDEN),
    "chunk size with 0x": framed(TE, b"0x1\r\nx\r\n0\r\n\r\n" + HIDDEN),
    "chunk size with an underscore": framed(TE, b"1_0\r\nx\r\n0\r\n\r\n" + HIDDEN),
    "chunk size too large": framed(TE, b"10000000000000000\r\nx\r\n0\r\n\r\n" + HIDDEN),
    "bare CR in a chunk extension": framed(TE, b"1;a\rb\r\nx\r\n0\r\n\r\n" + HIDDEN),
    "bare LF in a chunk extension": framed(TE, b"1;\nx\r\n0\r\n\r\n" + HIDDEN),
    "bare LF after the size": framed(TE, b"1\nx\r\n0\r\n\r\n" + HIDDEN),
    "bare LF after the data": framed(TE, b"1\r\nx\n0\r\n\r\n" + HIDDEN),
    "chunk longer than its size": framed(TE, b"1\r\nxy\r\n0\r\n\r\n" + HIDDEN),
    "chunk without an end": framed(TE, b"1\r\nx0\r\n\r\n" + HIDDEN),
    "CL in a trailer": framed(TE, b"0\r\nContent-Length: 5\r\n\r\n" + HIDDEN),
    "TE in a trailer": framed(TE, b"0\r\nTransfer-Encoding: chunked\r\n\r\n" + HIDDEN),
    "folded trailer": framed(TE, b"0\r\nX: y\r\n z\r\n\r\n" + HIDDEN),
    "CONNECT": b"CONNECT x:80 HTTP/1.1\r\nHost: localhost\r\n\r\n" + HIDDEN,
    "TRACE": b"TRACE / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "no host": b"GET /students/ HTTP/1.1\r\n\r\n" + HIDDEN,
    "space before the method": b" GET /students/ HTTP/1.1\r\nHost: localhost\r\n\r\n" + HIDDEN,
    "tab after the method": b"GET\t/students/ HTTP/1.1\r\nHost: localhost\r\n\r\n" + HIDDEN,
    "space in the target": b"GET /students/ /x HTTP/1.1\r\nHost: localhost\r\n\r\n" + HIDDEN,
    "space after the version": b"GET /students/ HTTP/1.1 \r\nHost: localhost\r\n\r\n" + HIDDEN,
    "version in lower case": b"GET /students/ http/1.1\r\nHost: localhost\r\n\r\n" + HIDDEN,
    "version with more digits": b"GET /students/ HTTP/1.10\r\nHost: localhost\r\n\r\n" + HIDDEN,
    "a later version": b"GET /students/ HTTP/1.2\r\nHost: localhost\r\n\r\n" + HIDDEN,
    "HTTP/0.9": b"GET /students/\r\n\r\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "RTSP": b"OPTIONS /students/ RTSP/1.0\r\nHost: localhost\r\n\r\n" + HIDDEN,
    "of another protocol": b"DESCRIBE /students/ RTSP/1.0\r\nHost: localhost\r\n\r\n",
}


@pytest.mark.parametrize("attack", REFUSED.values(), ids=REFUSED.keys())
@pytest.mark.parametrize("line", [OPEN, READ], ids=["POST", "GET"])
async def test_refused_whatever_follows(front: Front, attack: bytes, line: bytes) -> None:
    answered = statuses(await front.ask(attack.replace(OPEN, line)))
    assert answered[0] in {400, 405, 431, 501, 505}
    assert len(answered) == 1
    await front.nothing_arrived()


SENT_ON = {
    "body on GET": READ + CL + b"\r\n\r\n" + HIDDEN,
    "body on HEAD": READ.replace(b"GET", b"HEAD") + CL + b"\r\n\r\n" + HIDDEN,
    "body on OPTIONS": READ.replace(b"GET", b"OPTIONS") + CL + b"\r\n\r\n" + HIDDEN,
    "chunks on GET": READ + TE + b"\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN),
    "CL with leading zeros": framed(b"Content-Length: 000%d" % len(HIDDEN), HIDDEN),
    "CL with spaces around": framed(b"Content-Length: \t %d \t" % len(HIDDEN), HIDDEN),
    "TE in odd case": framed(b"tRANSFER-eNCODING: CHUNKED", b"%X\r\n%b\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN)),
    "TE with an underscore": framed(b"Transfer_Encoding: chunked\r\n" + CL, HIDDEN),
    "CL with an underscore": framed(b"Content_Length: 0\r\n" + CL, HIDDEN),
    "chunk extensions": framed(TE, b'1;a=b;c="d\\"e"\r\nx\r\n0;last\r\n\r\n'),
    "chunk size with leading zeros": framed(TE, b"0000000000000000001\r\nx\r\n000\r\n\r\n"),
    "trailers that smuggle": framed(TE, b"0\r\nHost: y\r\nAuthorization: Bearer alice\r\nX_Y: z\r\n\r\n"),
    "h2c with a body": READ + b"Connection: Upgrade, HTTP2-Settings\r\n"
    b"HTTP2-Settings: AAMAAABkAAQ\r\nUpgrade: h2c\r\n" + CL + b"\r\n\r\n" + HIDDEN,
    "HTTP/1.0 with a second request": b"GET / HTTP/1.0\r\n\r\n" + HIDDEN,
    "an expectation on GET": READ + b"Expect: 100-continue\r\n" + CL + b"\r\n\r\n" + HIDDEN,
    "empty lines first": b"\r\n\r\n" + READ + CL + b"\r\n\r\n" + HIDDEN,
    "two spaces after the method": READ.replace(b"GET", b"GET ") + CL + b"\r\n\r\n" + HIDDEN,
    "a second request after close": READ + b"Connection: close\r\n\r\n" + HIDDEN,
}


@pytest.mark.parametrize("attack", SENT_ON.values(), ids=SENT_ON.keys())
async def test_what_is_sent_on_is_one_request_to_every_parser(front: Front, attack: bytes) -> None:
    answered = statuses(await front.ask(attack))
    assert len([status for status in answered if status >= 200]) == 1
    assert len(await front.arrived()) == 1
    assert not front.changed


REFUSED_WITH_BODY = HIDDEN.replace(b"\r\n\r\n", b"\r\nContent-Length: %d\r\n\r\n" % len(HIDDEN)) + HIDDEN

IN_A_ROW = {
    "behind an open one": (READ + b"\r\n" + HIDDEN, [200, 401], 1),
    "before an open one": (HIDDEN + READ + b"\r\n", [401, 200], 1),
    "between open ones": ((READ + b"\r\n" + HIDDEN) * 3, [200, 401] * 3, 3),
    "behind the body of an open one": (READ + b"Content-Length: 3\r\n\r\nabc" + HIDDEN, [200, 401], 1),
    "behind chunks": (READ + TE + b"\r\n\r\n3\r\nabc\r\n0\r\n\r\n" + HIDDEN, [200, 401], 1),
    "behind a trailer": (READ + TE + b"\r\n\r\n0\r\nX: y\r\n\r\n" + HIDDEN, [200, 401], 1),
    "behind HEAD": (READ.replace(b"GET", b"HEAD") + b"\r\n" + HIDDEN, [200, 401], 1),
    "in the body of a refused one": (REFUSED_WITH_BODY + READ + b"\r\n", [401, 200], 1),
    "behind one that is none": (READ + b"\r\n" + b"\0" + HIDDEN, [200, 501], 1),
}


@pytest.mark.parametrize(("attack", "answers", "arrivals"), IN_A_ROW.values(), ids=IN_A_ROW.keys())
async def test_each_request_of_a_row_is_decided_by_itself(
    front: Front, attack: bytes, answers: list[int], arrivals: int
) -> None:
    assert statuses(await front.ask(attack)) == answers
    assert [request.target for request in await front.arrived()] == ["/students/"] * arrivals
    assert not front.changed


ENDLESS = {
    "empty lines": b"\r\n" * 2**17,
    "a head": READ + b"X: " + b"y" * 2**17,
    "a target": b"GET /" + b"y" * 2**17,
    "fields": READ + b"X: y\r\n" * 2**15,
    "chunk extensions": framed(TE, b"1;" + b"y" * 2**17),
    "a chunk size": framed(TE, b"0" * 2**17),
    "trailers": framed(TE, b"0\r\n" + b"X: y\r\n" * 2**15),
}


@pytest.mark.parametrize("attack", ENDLESS.values(), ids=ENDLESS.keys())
async def test_what_never_ends_is_ended(front: Front, attack: bytes) -> None:
    front.tap.onward = 0
    async with await front.client() as client:
        await client.send(attack)
        assert statuses(await client.closed())[0] in (400, 414, 431)
    assert list(by_h11(front.tap.received)) == []


async def test_an_early_answer_does_not_let_the_rest_through(front: Front) -> None:
    """The service answers without reading the body; what was announced as that body is then no request."""
    async with await front.client() as client:
        await client.send(framed(b"Content-Length: 1000000", b"x"))
        await client.contains(b"</html>")  # until all of the answer is there, this is still body
        await client.send(HIDDEN)
        client.eof()
        assert statuses(await client.closed()) == [404]
    await front.ask(SENTINEL)
    assert b"X-Hidden" not in front.tap.received
    assert not front.changed
