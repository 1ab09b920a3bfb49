"""What the request reader accepts, how it frames it, and that splits of the input change nothing."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz_sidecar.codes import TABLE
from authz_sidecar.config.limits import ProxyLimits
from authz_sidecar.proxy.messages import Framing, IncomingRequest
from authz_sidecar.proxy.request_reader import RequestReader

GET = b"GET /a?b HTTP/1.1\r\nHost: x\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
END = b"\r\n"


def read(data: bytes, limits: ProxyLimits | None = None, cuts: tuple[int, ...] = ()) -> list[IncomingRequest]:
    """All requests in `data`, fed in pieces that end at `cuts`."""
    reader = RequestReader(limits or ProxyLimits())
    found: list[IncomingRequest] = []

    def take() -> None:
        while reader.requests or (reader.unread and not reader.ended):
            if not reader.requests:
                reader.resume()
                continue
            found.append(reader.requests.popleft())

    edges = [0, *sorted(cuts), len(data)]
    for start, end in itertools.pairwise(edges):
        reader.feed(data[start:end])
        take()
    return found


ACCEPTED = {
    "no body": (GET + END, Framing.NONE, b""),
    "length": (POST + b"Content-Length: 3\r\n\r\nabc", Framing.LENGTH, b"abc"),
    "length zero": (POST + b"Content-Length: 0\r\n\r\n", Framing.LENGTH, b""),
    "length with leading zeros": (POST + b"Content-Length: 003\r\n\r\nabc", Framing.LENGTH, b"abc"),
    "length, space after": (POST + b"Content-Length: 3 \t\r\n\r\nabc", Framing.LENGTH, b"abc"),
    "chunked": (CHUNKED + b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n", Framing.CHUNKED, b"abcde"),
    "chunked, upper case": (
        POST + b"TRANSFER-ENCODING: CHUNKED\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n",
        Framing.CHUNKED,
        b"0123456789",
    ),
    "body on GET": (GET + b"Content-Length: 1\r\n\r\nx", Framing.LENGTH, b"x"),
    "blank lines before": (END + END + GET + END, Framing.NONE, b""),
    "upgrade to h2c with a body": (
        POST + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 3\r\n\r\nabc",
        Framing.LENGTH,
        b"abc",
    ),
    "upgrade to h2c with chunks": (
        POST
        + b"Connection: Upgrade\r\nUpgrade: h2c\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        Framing.CHUNKED,
        b"abc",
    ),
    "upgrade to h2c without a body": (
        GET + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        Framing.NONE,
        b"",
    ),
}


@pytest.mark.parametrize(("data", "framing", "body"), ACCEPTED.values(), ids=ACCEPTED.keys())
def test_accepted(data: bytes, framing: Framing, body: bytes) -> None:
    """Each is read alike whole, byte by byte, and with another request behind it."""
    for cuts in ((), tuple(range(1, len(data) + len(GET)))):
        first, second = read(data + GET + END, cuts=cuts)
        assert (first.fault, first.complete, first.keep_alive) == (None, True, True)
        assert (first.framing, first.take_body()) == (framing, body)
        assert (second.method, second.target, second.complete) == ("GET", b"/a?b", True)


def test_content_length_is_written_anew() -> None:
    (request,) = read(POST + b"CONTENT-length: 0003\r\n\r\nabc")
    assert request.fields.kept[-1] == (b"CONTENT-length", b"3")


def test_trailers() -> None:
    (request,) = read(CHUNKED + b"1\r\na\r\n0\r\nX: y\r\nx: Z\r\n\r\n")
    assert request.trailers == [(b"X", b"y"), (b"x", b"Z")]


REFUSED = {
    "length and coding": (POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "coding and length": (POST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", 400),
    "two lengths": (POST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400),
    "list of lengths": (POST + b"Content-Length: 3, 3\r\n\r\nabc", 400),
    "signed length": (POST + b"Content-Length: +3\r\n\r\nabc", 400),
    "negative length": (POST + b"Content-Length: -3\r\n\r\nabc", 400),
    "hexadecimal length": (POST + b"Content-Length: 0x3\r\n\r\nabc", 400),
    "empty length": (POST + b"Content-Length: \r\n\r\nabc", 400),
    "huge length": (POST + b"Content-Length: 99999999999999999999\r\n\r\nabc", 400),
    "length with a vertical tab": (POST + b"Content-Length: \x0b3\r\n\r\nabc", 400),
    "coding before chunked": (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    "coding after chunked": (POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", 400),
    "chunked twice": (POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400),
    "chunked in two fields": (POST + b"Transfer-Encoding: chunked\r\n" * 2 + b"\r\n0\r\n\r\n", 400),
    "chunked misspelt": (POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501),
    "chunked quoted": (POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n', 501),
    "chunked with a parameter": (POST + b"Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n", 501),
    "identity": (POST + b"Transfer-Encoding: identity\r\n\r\nabc", 501),
    "empty coding": (POST + b"Transfer-Encoding:\r\n\r\nabc", 400),
    "coding with a vertical tab": (POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400),
    "coding folded": (POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 400),
    "coding in HTTP/1.0": (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 501),
    "space before the colon": (POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
    "tab before the colon": (POST + b"X\t: y\r\n\r\n", 400),
    "folded field": (POST + b"X: y\r\n z\r\n\r\n", 400),
    "field before the first": (b"POST / HTTP/1.1\r\n X: y\r\n\r\n", 400),
    "no colon": (POST + b"Content-Length\r\n\r\n", 400),
    "no name": (POST + b": y\r\n\r\n", 400),
    "name outside ASCII": (POST + b"X\xff: y\r\n\r\n", 400),
    "name with a parenthesis": (POST + b"X(y): z\r\n\r\n", 400),
    "bare LF after a field": (POST + b"X: y\nContent-Length: 3\r\n\r\nabc", 400),
    "bare LF as the end": (POST + b"X: y\r\n\n", 400),
    "bare LF everywhere": (POST.replace(b"\r", b"") + b"\n", 400),
    "bare CR in a value": (POST + b"X: y\rContent-Length: 3\r\n\r\nabc", 400),
    "CR CR LF": (POST + b"X: y\r\r\n\r\n", 400),
    "NUL in a value": (POST + b"X: y\0z\r\n\r\n", 400),
    "control byte in a value": (POST + b"X: y\x01z\r\n\r\n", 400),
    "DEL in a value": (POST + b"X: y\x7fz\r\n\r\n", 400),
    "space in the target": (b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "control byte in the target": (b"GET /\x01 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "bytes outside ASCII in the target": (b"GET /\xc3\xa9 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "space after the version": (b"GET / HTTP/1.1 \r\nHost: x\r\n\r\n", 400),
    "tab after the method": (b"GET\t/ HTTP/1.1\r\nHost: x\r\n\r\n", 501),
    "space before the method": (b" GET / HTTP/1.1\r\nHost: x\r\n\r\n", 501),
    "lower-case method": (b"get / HTTP/1.1\r\nHost: x\r\n\r\n", 501),
    "unknown method": (b"FROB / HTTP/1.1\r\nHost: x\r\n\r\n", 501),
    "HTTP/0.9": (b"GET /\r\n\r\n", 505),
    "HTTP/0.9 in words": (b"GET / HTTP/0.9\r\n\r\n", 505),
    "HTTP/2.0": (b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505),
    "HTTP/1.2": (b"GET / HTTP/1.2\r\nHost: x\r\n\r\n", 505),
    "HTTP/3.0": (b"GET / HTTP/3.0\r\nHost: x\r\n\r\n", 505),
    "RTSP": (b"OPTIONS /x RTSP/1.0\r\nHost: x\r\n\r\n", 505),
    "RTSP for everything": (b"OPTIONS * RTSP/1.0\r\nHost: x\r\n\r\n", 505),
    "RTSP that asks like HTTP": (b"GET /a+b?c  RTSP/1.1\r\nHost: x\r\n\r\n", 505),
    "RTSP of this server": (b"GET http://x/ RTSP/1.0\r\nHost: x\r\n\r\n", 505),
    "RTSP with a method of HTTP alone": (b"PUT /x RTSP/1.0\r\nHost: x\r\n\r\n", 505),
    "RTSP/2.0": (b"DESCRIBE /x RTSP/2.0\r\nHost: x\r\n\r\n", 505),
    "RTSP of a long target": (b"GET /%b RTSP/1.0\r\nHost: x\r\n\r\n" % (b"x" * 5000), 505),
    "RTSP behind many spaces": (b"GET%b/ RTSP/1.0\r\nHost: x\r\n\r\n" % (b" " * 5000), 505),
    "RTSP behind empty lines": (b"\r\n" * 2500 + b"GET / RTSP/1.0\r\nHost: x\r\n\r\n", 505),
    "ICE": (b"SOURCE / ICE/1.0\r\nHost: x\r\n\r\n", 505),
    "ICE with a method of HTTP alone": (b"GET / ICE/1.0\r\nHost: x\r\n\r\n", 505),
    "a method of RTSP in HTTP": (b"DESCRIBE / HTTP/1.1\r\nHost: x\r\n\r\n", 501),
    "version without a dot": (b"GET / HTTP/2\r\nHost: x\r\n\r\n", 505),
    "version of more digits": (b"GET / HTTP/1.10\r\nHost: x\r\n\r\n", 505),
    "lower-case version": (b"GET / http/1.1\r\nHost: x\r\n\r\n", 400),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "no Host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "chunk size with a space": (CHUNKED + b"3 \r\nabc\r\n0\r\n\r\n", 400),
    "chunk size with a sign": (CHUNKED + b"+3\r\nabc\r\n0\r\n\r\n", 400),
    "chunk size with 0x": (CHUNKED + b"0x3\r\nabc\r\n0\r\n\r\n", 400),
    "chunk size too large": (CHUNKED + b"fffffffffffffffff\r\nabc", 400),
    "no chunk size": (CHUNKED + b"\r\nabc\r\n0\r\n\r\n", 400),
    "bare LF after the chunk size": (CHUNKED + b"3\nabc\r\n0\r\n\r\n", 400),
    "bare LF in a chunk extension": (CHUNKED + b"3;\nabc\r\n0\r\n\r\n", 400),
    "bare LF after the chunk": (CHUNKED + b"3\r\nabc\n0\r\n\r\n", 400),
    "chunk longer than its size": (CHUNKED + b"3\r\nabcd\r\n0\r\n\r\n", 400),
    "length in a trailer": (CHUNKED + b"0\r\nContent-Length: 5\r\n\r\n", 400),
    "coding in a trailer": (CHUNKED + b"0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    "folded trailer": (CHUNKED + b"0\r\nX: y\r\n z\r\n\r\n", 400),
    "space before a trailer's colon": (CHUNKED + b"0\r\nX : y\r\n\r\n", 400),
}


@pytest.mark.parametrize(("data", "status"), REFUSED.values(), ids=REFUSED.keys())
def test_refused(data: bytes, status: int) -> None:
    """Each ends the connection's requests, whole and byte by byte, whatever stands behind it."""
    for cuts in ((), tuple(range(1, len(data) + len(GET)))):
        (request,) = read(data + GET + END, cuts=cuts)
        assert request.fault is not None
        assert (TABLE[request.fault.code].status, request.keep_alive) == (status, False)


@pytest.mark.parametrize("version", [b"SIP/2.0", b"HTTPS/1.1", b"HTTP/11.1"])
def test_another_protocol_is_named_as_such(version: bytes) -> None:
    (request,) = read(b"GET /x %b\r\nHost: x\r\n\r\n" % version)
    assert request.fault is not None
    assert TABLE[request.fault.code].status == 505


MIXED = GET + END + b"GET /a?b %b\r\nHost: x\r\nVia: /a?b HTTP/1.1\r\nX: %b\r\n\r\n"


@pytest.mark.parametrize("protocol", [b"RTSP/1.0", b"HTTP/1.1"])
@given(st.sets(st.integers(1, 120)), st.integers(0, 5000))
def test_however_it_arrives_no_other_protocol_passes(protocol: bytes, cuts: set[int], length: int) -> None:
    """Not even behind a request of HTTP that asks for the same."""
    data = MIXED % (protocol, b"y" * length)
    first, second = read(data, cuts=tuple(cuts))
    assert (first.fault, first.target) == (None, b"/a?b")
    assert (second.fault is None) is (protocol == b"HTTP/1.1")


def test_who_only_speaks_of_rtsp_speaks_http() -> None:
    spoken = b"POST / HTTP/1.1\r\nHost: x\r\nX-Was: GET / RTSP/1.0\r\nContent-Length: 21\r\n\r\n"
    requests = read(spoken + b"OPTIONS / RTSP/1.0\r\n\n" + GET + END)
    assert [request.fault for request in requests] == [None, None]


@pytest.mark.parametrize(
    ("url", "target"),
    [(b"http://x/a?b", b"/a?b"), (b"http://y/a", b"http://y/a"), (b"https://x/", b"https://x/")],
)
def test_the_url_of_this_server_is_read_as_its_path(url: bytes, target: bytes) -> None:
    data = b"GET " + url + b" HTTP/1.1\r\nHost: x\r\n\r\n"
    for cuts in ((), tuple(range(1, len(data)))):
        first, second = read(data + GET + END, cuts=cuts)
        assert (first.target, second.target) == (target, b"/a?b")


def test_a_token_is_no_trailer() -> None:
    reader = RequestReader(ProxyLimits(), b"x-token")
    reader.feed(CHUNKED + b"0\r\nX-Token: a\r\nX.TOKEN: b\r\nX_Token: c\r\nX-Sum: 1\r\n\r\n")
    (request,) = reader.requests
    assert {name for name, _ in request.trailers} == {b"X-Sum"}


def test_a_fault_leaves_the_request_before_it_whole() -> None:
    first, second = read(GET + END + POST + b"X : y\r\n\r\n")
    assert (first.fault, first.complete, first.keep_alive) == (None, True, True)
    assert second.fault is not None


LIMITS = ProxyLimits(head_bytes=8192, head_fields=10, target_bytes=100, body_bytes=10)
OVER = {
    "target": (b"GET /" + b"a" * 100 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
    "white space without end": (b"GET" + b" " * 20_000, 414),
    "target without end": (b"GET /" + b"a" * 20_000, 414),
    "field": (GET + b"X: " + b"y" * 20_000 + b"\r\n\r\n", 431),
    "field without end": (GET + b"X: " + b"y" * 20_000, 431),
    "many fields": (GET + b"X: y\r\n" * 10 + b"\r\n", 431),
    "trailers": (CHUNKED + b"0\r\n" + b"X: y\r\n" * 5000, 431),
    "chunk extension": (CHUNKED + b"1;" + b"y" * 20_000, 431),
    "blank lines": (END * 10_000, 431),
    "length": (POST + b"Content-Length: 11\r\n\r\n", 413),
    "chunks": (CHUNKED + b"8\r\n01234567\r\n8\r\n01234567\r\n0\r\n\r\n", 413),
}


@pytest.mark.parametrize(("data", "status"), OVER.values(), ids=OVER.keys())
def test_limits(data: bytes, status: int) -> None:
    (request,) = read(data, LIMITS)
    assert request.fault is not None
    assert TABLE[request.fault.code].status == status


def test_within_the_limits() -> None:
    (request,) = read(GET + b"X: " + b"y" * 8000 + b"\r\n\r\n", LIMITS)
    assert request.fault is None


FIRST = {
    "nothing": b"",
    "a body of known length": POST + b"Content-Length: 3\r\n\r\nabc",
    "a long body": POST + b"Content-Length: 9000\r\n\r\n" + b"x" * 9000,
    "chunks": CHUNKED + b"3\r\nabc\r\n0\r\n\r\n",
    "a long chunk": CHUNKED + b"1000\r\n" + b"x" * 4096 + b"\r\n0\r\nX: y\r\n\r\n",
    "a long head": GET + b"X: " + b"y" * 3000 + b"\r\n\r\n",
}


@pytest.mark.parametrize("first", FIRST.values(), ids=FIRST)
@pytest.mark.parametrize("size", [1024, 4096, 200_000])
def test_pipelined_requests_are_not_read_far_ahead(first: bytes, size: int) -> None:
    """Objects take many times as much as the bytes do."""
    reader = RequestReader(ProxyLimits())
    reader.feed((first + (GET + END) * 10_000)[:size])
    assert len(reader.requests) <= 1024 // len(GET)
    assert reader.unread or size < 200_000


def test_a_body_full_of_blank_lines_is_read_in_few_pieces() -> None:
    reader = RequestReader(ProxyLimits())
    reader.feed(CHUNKED + b"10000\r\n" + b"\r\n" * 32_768 + b"\r\n0\r\n\r\n")
    (request,) = reader.requests
    assert request.complete
    assert len(request.body) <= 65_536 // 256 + 1


def test_nothing_is_read_after_the_last_request() -> None:
    for last in (GET + b"Connection: close\r\n\r\n", b"GET /a?b HTTP/1.0\r\n\r\n"):
        (request,) = read(last + GET + END)
        assert (request.fault, request.complete, request.keep_alive) == (None, True, False)


def test_after_a_websocket_request_nothing_is_http() -> None:
    reader = RequestReader(ProxyLimits())
    reader.feed(GET + b"Connection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n\x81\x00" + GET)
    reader.feed(b"more")
    (request,) = reader.requests
    assert (request.upgrade, request.complete, request.keep_alive) == (True, True, False)
    assert reader.take_unread() == b"\x81\x00" + GET + b"more"


@pytest.mark.parametrize(
    "head",
    [
        POST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        GET + b"Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n\r\nx",
        GET + b"Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n\r\n",
        GET + b"Upgrade: websocket\r\n\r\n",
        GET + b"Connection: keep-alive\r\nUpgrade: websocket\r\n\r\n",
        b"GET / HTTP/1.0\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n",
    ],
)
def test_what_is_no_websocket_request(head: bytes) -> None:
    first, second = read(head + GET + END)
    assert (first.upgrade, second.target) == (False, b"/a?b")


STREAM = (
    POST + b"Content-Length: 5\r\n\r\nhello",
    GET + END,
    CHUNKED + b"5\r\nhello\r\n6;x\r\n world\r\n0\r\nT: v\r\n\r\n",
    POST + b"Connection: Upgrade\r\nUpgrade: h2c\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    b"PUT /last HTTP/1.0\r\nContent-Length: 1\r\n\r\nx",
)


def summary(requests: list[IncomingRequest]) -> list[tuple[object, ...]]:
    return [
        (r.method, r.target, r.fields.received, r.trailers, r.take_body(), r.complete, r.fault)
        for r in requests
    ]


@given(st.sets(st.integers(1, len(b"".join(STREAM)) - 1)))
def test_splits_change_nothing(cuts: set[int]) -> None:
    data = b"".join(STREAM)
    assert summary(read(data, cuts=tuple(cuts))) == summary(read(data))
