"""What arrives is what was sent, byte for byte, but for this hop's own fields."""

from __future__ import annotations

import re

import pytest

from lab.wire import Rig, running

HEAD = b"POST /students/?a=%2F&a= HTTP/1.1\r\nHost: s.example:81\r\nAuthorization: Bearer alice\r\n"
OURS = (
    b"X-Forwarded-Proto: http\r\nX-Forwarded-Host: s.example:81\r\nX-Forwarded-For: 127.0.0.1\r\n"
    b"X-Request-Id: r1\r\n"
)
OK = b"HTTP/1.1 200 OK\r\n"
EMPTY = OK + b"Content-Length: 0\r\n\r\n"


async def forwarded(rig: Rig, request: bytes, end: bytes) -> bytes:
    """What the upstream receives up to `end` when a client sends `request`."""
    client = await rig.client()
    await client.send(request)
    return await (await rig.upstream.accept()).contains(end)


async def relayed(rig: Rig, answer: bytes, request: bytes = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n") -> bytes:
    """All that the client receives when the upstream sends `answer` and closes."""
    client = await rig.client()
    await client.send(request)
    client.eof()
    peer = await rig.upstream.accept()
    await peer.contains(b"\r\n\r\n")
    await peer.send(answer)
    peer.close()
    return await client.rest()


async def test_order_case_and_duplicates_of_fields(rig: Rig) -> None:
    fields = (
        b"X-b: 1\r\nx-B: 2\r\nACCEPT: a\r\naccept: b\r\nX-b: \xc3\xa9\xff\r\nX-Empty:\r\nX-Request-Id: r1\r\n"
    )
    request = HEAD + fields + b"Content-Length: 3\r\nX-Last: z\r\n\r\nabc"
    kept = fields.replace(b"X-Request-Id: r1\r\n", b"").replace(b"X-Empty:", b"X-Empty: ")
    assert await forwarded(rig, request, b"abc") == (
        HEAD + kept + b"Content-Length: 3\r\nX-Last: z\r\n" + OURS + b"\r\nabc"
    )


TARGETS = (b"/", b"/?", b"/a?", b"/%0A%7e~?x=%0a#"[:-1], b"//a/../b;c", b"/*?a=/../", b"/a'()|{}")


@pytest.mark.parametrize("target", TARGETS)
async def test_the_target_is_forwarded_as_it_came(rig: Rig, target: bytes) -> None:
    request = b"OPTIONS " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n"
    received = await forwarded(rig, request, b"\r\n\r\n")
    assert received.startswith(b"OPTIONS " + target + b" HTTP/1.1\r\nHost: x\r\n")


async def test_the_url_of_this_server_is_forwarded_as_its_path(rig: Rig) -> None:
    request = b"GET HTTP://X:81/a?b HTTP/1.1\r\nHost: x:81\r\n\r\n"
    received = await forwarded(rig, request, b"\r\n\r\n")
    assert received.startswith(b"GET /a?b HTTP/1.1\r\nHost: x:81\r\n")


async def test_lines_that_end_with_a_bare_lf_are_written_anew(rig: Rig) -> None:
    answer = await relayed(rig, b"HTTP/1.1 200 OK\nX-a: b\nContent-Length: 3\n\na\n\n")
    assert answer == b"HTTP/1.1 200 OK\r\nX-a: b\r\nContent-Length: 3\r\n\r\na\n\n"


async def test_chunked_bodies_and_trailers_go_up(rig: Rig) -> None:
    request = HEAD + b"Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\nX-Request-Id: r1\r\n\r\n"
    body = b"3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 5\r\nAuthorization: Bearer bob\r\nX_Sum: 6\r\n\r\n"
    assert await forwarded(rig, request + body, b"0\r\nX-Sum") == (
        HEAD
        + b"Trailer: X-Sum\r\n"
        + OURS
        + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\nX-Sum: 5\r\n\r\n"
    )


async def test_a_body_on_a_safe_method_goes_up_with_its_framing(rig: Rig) -> None:
    received = await forwarded(rig, b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab", b"ab")
    assert b"Content-Length: 2\r\n" in received
    assert received.endswith(b"\r\n\r\nab")


async def test_http_1_0_requests(rig: Rig) -> None:
    request = b"POST /open/x HTTP/1.0\r\nContent-Length: 2\r\nX-Request-Id: r1\r\n\r\nab"
    assert await forwarded(rig, request, b"\r\n\r\nab") == (
        b"POST /open/x HTTP/1.1\r\nContent-Length: 2\r\n"
        b"X-Forwarded-Proto: http\r\nX-Forwarded-For: 127.0.0.1\r\n"
        b"X-Request-Id: r1\r\nHost: localhost:%d\r\n\r\nab" % rig.upstream.port
    )


async def test_te_trailers_is_announced_anew(rig: Rig) -> None:
    request = (
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: TE, X-Hop\r\nTE: trailers, deflate\r\nX-Hop: 1\r\n\r\n"
    )
    received = await forwarded(rig, request, b"\r\n\r\n")
    assert received.endswith(b"TE: trailers\r\nConnection: TE\r\n\r\n")
    assert b"X-Hop" not in received


AS_IT_IS = {
    "length": OK + b"content-LENGTH: 3\r\n\r\nabc",
    "empty": EMPTY,
    "no content type is invented": OK + b"Content-Length: 1\r\n\r\n<",
    "reason": b"HTTP/1.1 200 Everything Is F\xc3\xafne!\r\nContent-Length: 0\r\n\r\n",
    "no reason": b"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n",
    "odd status": b"HTTP/1.1 799 Custom\r\nContent-Length: 0\r\n\r\n",
    "redirect": b"HTTP/1.1 302 Found\r\nLocation: http://internal/x\r\nContent-Length: 0\r\n\r\n",
    "401 of the service": b"HTTP/1.1 401 No\r\nWWW-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n",
    "cookies": OK
    + b"Set-Cookie: a=1; Path=/\r\nset-cookie: b=2\r\nSet-Cookie: a=3\r\nContent-Length: 0\r\n\r\n",
    "bytes outside ASCII": OK + b"X-Name: \xff\xfe\xc3\xa9\r\nContent-Length: 2\r\n\r\n\xff\0",
    "encoded body": OK + b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\n\x1f\x8b\x08",
    "wrong encoding": OK + b"Content-Encoding: br\r\nContent-Length: 1\r\n\r\nx",
    "large head": OK + b"X-Large: " + b"y" * 60_000 + b"\r\nContent-Length: 0\r\n\r\n",
    "not modified": b'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\nContent-Length: 5\r\n\r\n',
    "no content": b"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n",
    "chunked": OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "trailers": OK + b"Trailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n",
    "interim": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nLink: </b>\r\n\r\n" + EMPTY,
    "interims": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" + EMPTY,
}


@pytest.mark.parametrize("answer", AS_IT_IS.values(), ids=AS_IT_IS.keys())
async def test_responses_are_relayed_as_they_are(rig: Rig, answer: bytes) -> None:
    assert await relayed(rig, answer) == answer


HOP = {
    "connection fields": (
        OK
        + b"Connection: close, X-Hop\r\nKeep-Alive: timeout=5\r\n"
        + b"X-Hop: 1\r\nX: 2\r\nContent-Length: 0\r\n\r\n",
        OK + b"X: 2\r\nContent-Length: 0\r\n\r\n",
    ),
    "delimited by close": (
        OK + b"X: y\r\n\r\nabc",
        OK + b"X: y\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ),
    "HTTP/1.0": (
        b"HTTP/1.0 200 OK\r\nX: y\r\n\r\nabc",
        OK + b"X: y\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ),
    "length on 204": (
        b"HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 204 No Content\r\n\r\n",
    ),
    "coding on 304": (
        b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\n\r\n",
    ),
    "length on an interim response": (
        b"HTTP/1.1 103 Early Hints\r\nContent-Length: 9\r\n\r\n" + EMPTY,
        b"HTTP/1.1 103 Early Hints\r\n\r\n" + EMPTY,
    ),
    "a body too many": (OK + b"Content-Length: 1\r\n\r\nabc", OK + b"Content-Length: 1\r\n\r\na"),
    "a response too many": (EMPTY + b"HTTP/1.1 200 Second\r\nContent-Length: 0\r\n\r\n", EMPTY),
}


@pytest.mark.parametrize(("answer", "expected"), HOP.values(), ids=HOP.keys())
async def test_responses_are_framed_anew(rig: Rig, answer: bytes, expected: bytes) -> None:
    assert await relayed(rig, answer) == expected


async def test_head_keeps_the_length_and_has_no_body(rig: Rig) -> None:
    request = b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n"
    answer = OK + b"Content-Length: 1000\r\n\r\n"
    assert await relayed(rig, answer, request) == answer
    assert await relayed(rig, answer + b"body", request) == answer


async def test_http_1_0_clients_get_no_chunks_and_no_interim_responses(rig: Rig) -> None:
    answer = (
        b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    )
    request = b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
    assert await relayed(rig, answer, request) == OK + b"Connection: close\r\n\r\nabc"


async def test_http_1_0_clients_are_kept_alive_when_they_ask() -> None:
    async with running(answer=OK + b"Content-Length: 1\r\n\r\nx") as rig:
        client = await rig.client()
        kept = OK + b"Content-Length: 1\r\nConnection: keep-alive\r\n\r\nx"
        for _ in range(2):
            await client.send(b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n")
            await client.contains(kept)
            assert client.take() == kept
        await client.send(b"GET / HTTP/1.0\r\n\r\n")
        assert await client.rest() == OK + b"Content-Length: 1\r\nConnection: close\r\n\r\nx"


TRUNCATED = {
    "length": OK + b"Content-Length: 10\r\n\r\nabc",
    "chunked": OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    "bad chunk": OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n",
}


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
@pytest.mark.parametrize("answer", TRUNCATED.values(), ids=TRUNCATED.keys())
async def test_a_truncated_response_does_not_look_complete(rig: Rig, answer: bytes, version: bytes) -> None:
    client = await rig.client()
    await client.send(b"GET / HTTP/" + version + b"\r\nHost: x\r\n\r\n")
    peer = await rig.upstream.accept()
    await peer.contains(b"\r\n\r\n")
    await peer.send(answer)
    await client.contains(b"abc")
    peer.close()
    with pytest.raises(ConnectionError):
        await client.rest()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 20",
        b"hello\r\n\r\n",
        OK + b"Content-Length: x\r\n\r\n",
        OK + b"X : y\r\n\r\n",
        OK + b"X: y\r\n" * 20_000,
    ],
)
async def test_no_answer_is_502(rig: Rig, answer: bytes) -> None:
    received = await relayed(rig, answer)
    assert received.startswith(b"HTTP/1.1 502 Bad Gateway\r\n")
    assert b'"upstream_unreachable"' in received
    assert len(rig.upstream.peers) == 1  # and no second try


async def test_expectation_travels_and_the_body_waits_for_the_answer(rig: Rig) -> None:
    client = await rig.client()
    await client.send(HEAD + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n")
    peer = await rig.upstream.accept()
    received = await peer.contains(b"\r\n\r\n")
    assert b"Expect: 100-continue\r\n" in received
    await peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert await client.contains(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    await client.send(b"abc")
    await peer.contains(b"\r\n\r\nabc")
    await peer.send(EMPTY)
    assert await client.contains(EMPTY) == b"HTTP/1.1 100 Continue\r\n\r\n" + EMPTY


async def test_a_refused_upload_never_travels(rig: Rig) -> None:
    client = await rig.client()
    await client.send(HEAD.replace(b"alice", b"bob") + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n")
    answer = await client.rest()
    assert re.match(rb"HTTP/1.1 403 Forbidden\r\n(.*\r\n)*Connection: close\r\n", answer)
    assert b"100 Continue" not in answer
    assert not rig.upstream.peers


async def test_a_trusted_peer_is_believed() -> None:
    async with running(trusts=lambda peer: peer == "127.0.0.1") as rig:
        fields = b"X-Forwarded-Proto: https\r\nX-Forwarded-For: 9.9.9.9\r\n"
        received = await forwarded(rig, b"GET / HTTP/1.1\r\nHost: x\r\n" + fields + b"\r\n", b"\r\n\r\n")
        assert b"X-Forwarded-Proto: https\r\n" in received
        assert b"X-Forwarded-For: 9.9.9.9, 127.0.0.1\r\n" in received
