"""What the response reader accepts, how it frames it, and what it calls broken."""

from __future__ import annotations

import pytest

from authz_sidecar.config.limits import ProxyLimits
from authz_sidecar.proxy.messages import Framing
from authz_sidecar.proxy.response_reader import ResponseReader

OK = b"HTTP/1.1 200 OK\r\n"


def read(
    data: bytes, *, to_head: bool = False, upgrade: bool = False, bytewise: bool = False, eof: bool = False
) -> ResponseReader:
    reader = ResponseReader(ProxyLimits())
    reader.expect(to_head=to_head, upgrade=upgrade)
    for piece in [data[i : i + 1] for i in range(len(data))] if bytewise else [data]:
        reader.feed(piece)
    if eof:
        reader.eof()
    return reader


COMPLETE = {
    "length": (OK + b"Content-Length: 3\r\n\r\nabc", b"abc", True),
    "empty": (OK + b"Content-Length: 0\r\n\r\n", b"", True),
    "chunked": (OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", b"abc", True),
    "no reason": (b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", b"", True),
    "last on the connection": (OK + b"Connection: close\r\nContent-Length: 1\r\n\r\na", b"a", False),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na", b"a", False),
    "HTTP/1.0 kept alive": (
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\na",
        b"a",
        True,
    ),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", b"", True),
    "204 with a length": (b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", b"", True),
    "304 with a length": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", b"", True),
    "304 chunked": (b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", b"", True),
}


@pytest.mark.parametrize("bytewise", [False, True])
@pytest.mark.parametrize(("data", "body", "keep_alive"), COMPLETE.values(), ids=COMPLETE.keys())
def test_complete(data: bytes, body: bytes, keep_alive: bool, bytewise: bool) -> None:
    reader = read(data, bytewise=bytewise)
    assert reader.response is not None
    assert (reader.response.complete, reader.broken) == (True, False)
    assert (reader.response.take_body(), reader.response.keep_alive) == (body, keep_alive)


BARE_LF = {
    "every line": (b"HTTP/1.1 200 OK\nContent-Length: 4\nA: b\n\na\nbc", b"a\nbc"),
    "some lines": (b"HTTP/1.1 200 OK\r\nContent-Length: 4\n\r\n\n\r\n\n", b"\n\r\n\n"),
    "the empty line": (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\n\r\n\r\n", b"\r\n\r\n"),
    "before an ordinary end": (b"HTTP/1.1 200 OK\nContent-Length: 2\r\n\r\n\n\n", b"\n\n"),
    "no reason": (b"HTTP/1.1 200\nContent-Length: 1\n\n\n", b"\n"),
    "chunks": (OK + b"Transfer-Encoding: chunked\n\n2\r\n\n\n\r\n0\r\n\r\n", b"\n\n"),
    "an interim answer": (b"HTTP/1.1 103 E\nA: b\n\nHTTP/1.1 200 OK\nContent-Length: 1\n\n\n", b"\n"),
    "behind an interim answer": (b"HTTP/1.1 100 C\r\n\r\nHTTP/1.1 200\nContent-Length: 1\n\n\n", b"\n"),
}


@pytest.mark.parametrize("bytewise", [False, True])
@pytest.mark.parametrize(("data", "body"), BARE_LF.values(), ids=BARE_LF.keys())
def test_lines_of_a_head_may_end_with_a_bare_lf(data: bytes, body: bytes, bytewise: bool) -> None:
    reader = read(data, bytewise=bytewise)
    assert reader.response is not None
    assert (reader.response.complete, reader.broken) == (True, False)
    assert reader.response.take_body() == body
    reader.expect(to_head=False)
    reader.feed(OK + b"Content-Length: 1\r\n\r\nx")
    assert reader.response.take_body() == b"x"


@pytest.mark.parametrize("bytewise", [False, True])
def test_what_follows_a_101_is_not_touched(bytewise: bool) -> None:
    head = b"HTTP/1.1 101 S\nUpgrade: websocket\nConnection: Upgrade\n\n"
    reader = read(head, upgrade=True, bytewise=bytewise)
    assert reader.response is not None
    assert (reader.response.status, reader.broken, reader.unread) == (101, False, b"")
    reader = read(head + b"\n\r\n\n", upgrade=True)
    assert (reader.unread, reader.broken) == (b"\n\r\n\n", False)


@pytest.mark.parametrize("bytewise", [False, True])
@pytest.mark.parametrize(
    "data",
    [
        OK + b"Transfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\n0\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\n\n1\r\na\r\n0\n\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: y\n\r\n",
        OK + b"A: b\r\r\nContent-Length: 0\r\n\r\n",
        OK + b"A: b\rB: c\nContent-Length: 0\n\n",
        OK + b"A: b\n c\nContent-Length: 0\n\n",
    ],
)
def test_elsewhere_a_bare_lf_or_cr_is_broken(data: bytes, bytewise: bool) -> None:
    assert read(data, bytewise=bytewise).broken


@pytest.mark.parametrize("bytewise", [False, True])
@pytest.mark.parametrize("field", [b"Content-Length: 5", b"Transfer-Encoding: chunked"])
def test_head_has_no_body_and_the_connection_goes_on(field: bytes, bytewise: bool) -> None:
    reader = read(OK + field + b"\r\n\r\n", to_head=True, bytewise=bytewise)
    assert reader.response is not None
    assert (reader.response.complete, reader.broken, reader.awaiting) == (True, False, False)
    reader.expect(to_head=False)
    reader.feed(OK + b"Content-Length: 1\r\n\r\nx")
    assert reader.response.take_body() == b"x"


def test_close_ends_a_body_without_length() -> None:
    data = OK + b"\r\nabc"
    assert read(data).response.complete is False  # type: ignore[union-attr]
    reader = read(data, eof=True)
    assert reader.response is not None
    assert (reader.response.complete, reader.response.framing) == (True, Framing.CLOSE)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 200",
        OK + b"Content-Length: 3\r\n\r\nab",
        OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
    ],
)
def test_truncated(data: bytes) -> None:
    reader = read(data, eof=True)
    assert reader.broken
    assert reader.response is None or not reader.response.complete


BROKEN = {
    "not HTTP": b"SSH-2.0-OpenSSH_9.2\r\n",
    "HTTP/2": b"HTTP/2.0 200 OK\r\n\r\n",
    "status too small": b"HTTP/1.1 000 OK\r\nContent-Length: 0\r\n\r\n",
    "status too long": b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
    "two lengths": OK + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\na",
    "length and coding": OK + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\na",
    "another coding": OK + b"Transfer-Encoding: gzip\r\n\r\na",
    "a coding before chunked": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked in HTTP/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "folded field": OK + b"X: y\r\n z\r\nContent-Length: 0\r\n\r\n",
    "space before the colon": OK + b"X : y\r\nContent-Length: 0\r\n\r\n",
    "101 that nobody asked for": b"HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "101 without an upgrade": b"HTTP/1.1 101 Go\r\n\r\n",
    "endless head": OK + b"X: y\r\n" * 20_000,
    "bad chunk": OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN.keys())
def test_broken(data: bytes) -> None:
    reader = read(data)
    assert reader.broken
    assert reader.response is None or not reader.response.complete


@pytest.mark.parametrize(
    ("data", "to_head"),
    [
        (OK + b"Content-Length: 1\r\n\r\nab", False),
        (OK + b"Content-Length: 1\r\n\r\na" + OK + b"Content-Length: 0\r\n\r\n", False),
        (b"HTTP/1.1 204 No Content\r\n\r\nbody", False),
        (OK + b"Content-Length: 4\r\n\r\nbody", True),
    ],
)
def test_what_follows_a_response_breaks_the_connection_not_the_response(data: bytes, to_head: bool) -> None:
    reader = read(data, to_head=to_head)
    assert reader.response is not None
    assert (reader.response.complete, reader.broken) == (True, True)


def test_bytes_between_two_requests_break_the_connection() -> None:
    reader = read(OK + b"Content-Length: 0\r\n\r\n")
    assert not reader.awaiting
    assert not reader.broken
    reader.feed(b"HTTP/1.1 200 OK\r\n")
    assert reader.broken


def test_interim_responses() -> None:
    interims = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\nLink: b\r\n\r\n"
    reader = read(interims + OK + b"Content-Length: 0\r\n\r\n")
    assert [(i.status, i.reason, i.fields.received) for i in reader.interims] == [
        (100, b"Continue", []),
        (103, b"Early Hints", [(b"Link", b"a"), (b"Link", b"b")]),
    ]
    assert reader.response is not None
    assert reader.response.complete


def test_switching_protocols_ends_http() -> None:
    head = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    reader = read(head + b"\x81\0", upgrade=True)
    assert reader.response is not None
    assert (reader.response.status, reader.response.complete, reader.unread) == (101, True, b"\x81\0")
