"""What two parsers could read differently is refused, or is sent on so that they cannot.

A refused request reaches nobody: the upstream here records every byte. What does reach it is read by
h11 and by gunicorn's parser, which must both find exactly the requests that were answered.
"""

from __future__ import annotations

import h11
import pytest
from gunicorn.config import Config
from gunicorn.http import RequestParser

from wire import running

OPEN = b"POST /open/x HTTP/1.1\r\nHost: x\r\n"
HIDDEN = b"DELETE /students/1/ HTTP/1.1\r\nHost: x\r\nX-Hidden: 1\r\n\r\n"
EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


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
    "CL in other digits": framed("Content-Length: \u0663".encode(), HIDDEN),
    "TE.TE": framed(TE + b"\r\n" + TE, LAST + HIDDEN),
    "TE.TE, second unknown": framed(TE + b"\r\nTransfer-Encoding: x", LAST + HIDDEN),
    "TE.TE, first unknown": framed(b"Transfer-Encoding: x\r\n" + TE, LAST + HIDDEN),
    "TE list": framed(b"Transfer-Encoding: identity, chunked", LAST + HIDDEN),
    "TE chunked not last": framed(b"Transfer-Encoding: chunked, identity", LAST + HIDDEN),
    "TE misspelt": framed(b"Transfer-Encoding: chunke", LAST + HIDDEN),
    "TE with a vertical tab": framed(b"Transfer-Encoding: \x0bchunked", LAST + HIDDEN),
    "TE with a form feed": framed(b"Transfer-Encoding: chunked\x0c", LAST + HIDDEN),
    "TE with NUL": framed(b"Transfer-Encoding: chunked\0", LAST + HIDDEN),
    "TE quoted": framed(b'Transfer-Encoding: "chunked"', LAST + HIDDEN),
    "TE with a parameter": framed(b"Transfer-Encoding: chunked;a=b", LAST + HIDDEN),
    "TE with a comma": framed(b"Transfer-Encoding: ,chunked", LAST + HIDDEN),
    "TE in HTTP/1.0": framed(TE, LAST + HIDDEN).replace(b"HTTP/1.1", b"HTTP/1.0", 1),
    "space before the colon": framed(b"Transfer-Encoding : chunked", LAST + HIDDEN),
    "tab before the colon": framed(b"Transfer-Encoding\t: chunked", LAST + HIDDEN),
    "NUL in the name": framed(b"Transfer\0-Encoding: chunked", LAST + HIDDEN),
    "folded": framed(b"Transfer-Encoding:\r\n chunked", LAST + HIDDEN),
    "folded with a tab": framed(b"X: y\r\n\tTransfer-Encoding: chunked", LAST + HIDDEN),
    "field before the first": OPEN.replace(b"Host", b" X: y\r\nHost") + TE + b"\r\n\r\n" + LAST + HIDDEN,
    "bare LF": framed(b"X: y\n" + TE, LAST + HIDDEN),
    "bare CR": framed(b"X: y\r" + TE, LAST + HIDDEN),
    "bare LF ends the head": OPEN + b"\n" + HIDDEN,
    "CR CR LF ends the head": OPEN + b"\r\r\n" + HIDDEN,
    "chunk size with a space": framed(TE, b"1 \r\nx\r\n0\r\n\r\n" + HIDDEN),
    "chunk size signed": framed(TE, b"+1\r\nx\r\n0\r\n\r\n" + HIDDEN),
    "chunk size with 0x": framed(TE, b"0x1\r\nx\r\n0\r\n\r\n" + HIDDEN),
    "chunk size with an underscore": framed(TE, b"1_0\r\nx\r\n0\r\n\r\n" + HIDDEN),
    "chunk size too large": framed(TE, b"10000000000000000\r\nx\r\n0\r\n\r\n" + HIDDEN),
    "bare LF in a chunk extension": framed(TE, b"1;\nx\r\n0\r\n\r\n" + HIDDEN),
    "bare LF after the size": framed(TE, b"1\nx\r\n0\r\n\r\n" + HIDDEN),
    "bare LF after the data": framed(TE, b"1\r\nx\n0\r\n\r\n" + HIDDEN),
    "chunk longer than its size": framed(TE, b"1\r\nxy\r\n0\r\n\r\n" + HIDDEN),
    "chunk without an end": framed(TE, b"1\r\nx0\r\n\r\n" + HIDDEN),
    "CL in a trailer": framed(TE, b"0\r\nContent-Length: 5\r\n\r\n" + HIDDEN),
    "TE in a trailer": framed(TE, b"0\r\nTransfer-Encoding: chunked\r\n\r\n" + HIDDEN),
    "folded trailer": framed(TE, b"0\r\nX: y\r\n z\r\n\r\n" + HIDDEN),
    "two Hosts": framed(b"Host: y\r\nContent-Length: 0", b"") + HIDDEN,
    "CONNECT": b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n" + HIDDEN,
    "TRACE": b"TRACE / HTTP/1.1\r\nHost: x\r\n\r\n",
    "absolute form": b"GET http://y/students/ HTTP/1.1\r\nHost: x\r\n\r\n",
    "authority form": b"GET x:80 HTTP/1.1\r\nHost: x\r\n\r\n",
    "fragment": b"GET /a#/students/ HTTP/1.1\r\nHost: x\r\n\r\n",
    "HTTP/0.9": b"GET /students/\r\n\r\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "lower-case method": b"post /students/ HTTP/1.1\r\nHost: x\r\n\r\n",
    "unknown method": b"PROPPATCHX /students/ HTTP/1.1\r\nHost: x\r\n\r\n",
    "known to llhttp, not to us": b"MKCOL /students/ HTTP/1.1\r\nHost: x\r\n\r\n",
    "of another protocol": b"DESCRIBE /students/ RTSP/1.0\r\nHost: x\r\n\r\n",
    "Connection names Content-Length": framed(b"Connection: content-length\r\nContent-Length: 0", b""),
    "Connection names Host": framed(b"Connection: host\r\nContent-Length: 0", b""),
}


@pytest.mark.parametrize("attack", REFUSED.values(), ids=REFUSED.keys())
async def test_refused_whatever_follows(attack: bytes) -> None:
    async with running(answer=EMPTY) as rig:
        answer = await rig.ask(attack)
        assert answer[9:12] in {b"400", b"401", b"405", b"431", b"501", b"505"}
        assert b"HTTP/1.1 200" not in answer
        assert b"DELETE" not in rig.upstream.received
        assert not whole_requests(rig.upstream.received)


SENT_ON = {
    "body on GET": b"GET / HTTP/1.1\r\nHost: x\r\n" + CL + b"\r\n\r\n" + HIDDEN,
    "body on HEAD": b"HEAD / HTTP/1.1\r\nHost: x\r\n" + CL + b"\r\n\r\n" + HIDDEN,
    "body on OPTIONS": b"OPTIONS / HTTP/1.1\r\nHost: x\r\n" + CL + b"\r\n\r\n" + HIDDEN,
    "chunks on GET": b"GET / HTTP/1.1\r\nHost: x\r\n"
    + TE
    + b"\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN),
    "CL with leading zeros": framed(b"Content-Length: 000%d" % len(HIDDEN), HIDDEN),
    "CL with spaces around": framed(b"Content-Length: \t %d \t" % len(HIDDEN), HIDDEN),
    "TE in odd case": framed(b"tRANSFER-eNCODING: CHUNKED", b"%X\r\n%b\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN)),
    "TE with an underscore": framed(b"Transfer_Encoding: chunked\r\n" + CL, HIDDEN),
    "CL with an underscore": framed(b"Content_Length: 0\r\n" + CL, HIDDEN),
    "chunk extensions": framed(TE, b'1;a=b;c="d\\"e"\r\nx\r\n0;last\r\n\r\n'),
    "chunk size with leading zeros": framed(TE, b"0000000000000000001\r\nx\r\n000\r\n\r\n"),
    "trailers that smuggle": framed(TE, b"0\r\nHost: y\r\nAuthorization: Bearer alice\r\nX_Y: z\r\n\r\n"),
    "h2c with a body": b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\n"
    b"HTTP2-Settings: AAMAAABkAAQ\r\nUpgrade: h2c\r\n" + CL + b"\r\n\r\n" + HIDDEN,
    "WebSocket where no rule is": b"GET /free HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
    b"Upgrade: websocket\r\n\r\n" + HIDDEN,
    "HTTP/1.0 with a second request": b"GET / HTTP/1.0\r\n\r\n" + HIDDEN,
    "a second request after close": b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" + HIDDEN,
}


@pytest.mark.parametrize("attack", SENT_ON.values(), ids=SENT_ON.keys())
async def test_what_is_sent_on_is_one_request_to_every_parser(attack: bytes) -> None:
    async with running(answer=EMPTY) as rig:
        answer = await rig.ask(attack)
        assert answer.count(b"HTTP/1.1 200") == 1
        received = rig.upstream.received
        assert len(by_h11(received)) == 1
        assert by_h11(received) == by_gunicorn(received)


async def test_a_hidden_request_in_the_open_is_decided() -> None:
    async with running(answer=EMPTY) as rig:
        answer = await rig.ask(framed(b"Content-Length: 0", HIDDEN))
        assert answer.count(b"HTTP/1.1 200") == 1
        assert answer.count(b"HTTP/1.1 401") == 1
        assert b"DELETE" not in rig.upstream.received


def whole_requests(data: bytes) -> list[tuple[str, str, bytes]]:
    try:
        return by_h11(data)
    except h11.RemoteProtocolError:
        return []


def by_h11(data: bytes) -> list[tuple[str, str, bytes]]:
    """Method, target and body of each whole request."""
    found: list[tuple[str, str, bytes]] = []
    connection = h11.Connection(h11.SERVER)
    if data:
        connection.receive_data(data)
    request, body = None, b""
    while (event := connection.next_event()) not in (h11.NEED_DATA, h11.PAUSED):
        if isinstance(event, h11.Request):
            request, body = event, b""
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            assert request is not None
            found.append((request.method.decode(), request.target.decode(), body))
            connection.send(h11.Response(status_code=204, headers=[]))
            connection.send(h11.EndOfMessage())
            connection.start_next_cycle()
    return found


def by_gunicorn(data: bytes) -> list[tuple[str, str, bytes]]:
    parser = RequestParser(Config(), iter([data]), ("127.0.0.1", 1))
    return [(request.method, request.uri, request.body.read()) for request in parser]
