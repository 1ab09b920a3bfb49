"""A request body that does not come to its end: declined, over a limit, or cut off from either side."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from authz_sidecar.config.limits import ProxyLimits
from lab.wire import Client, Peer, Rig, running
from lab.wire.peers import wait_for

HEAD = b"POST /students/ HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer alice\r\n"
LENGTH = HEAD + b"Content-Length: 1000000\r\n\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
BEGUN = {"length": LENGTH + b"abc", "chunked": CHUNKED + b"3\r\nabc\r\n"}
CLOSE = b"\r\nConnection: close\r\n\r\n"


async def begin(rig: Rig, begun: bytes) -> tuple[Client, Peer]:
    """An upload of which the upstream has a part."""
    client = await rig.client()
    await client.send(begun)
    peer = await rig.upstream.accept()
    await peer.contains(b"abc")
    return client, peer


@pytest.mark.parametrize("interim", [b"", b"HTTP/1.1 102 Processing\r\n\r\n"])
async def test_an_expectation_that_the_upstream_declines(rig: Rig, interim: bytes) -> None:
    """The body was not sent, so nothing else can follow on either connection."""
    client = await rig.client()
    await client.send(HEAD + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n")
    peer = await rig.upstream.accept()
    await peer.contains(b"\r\n\r\n")
    declined = b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 2\r\n\r\nno"
    await peer.send(interim + declined)
    assert await client.rest() == interim + declined.replace(b"\r\n\r\n", CLOSE)
    assert (await peer.closed()).endswith(b"\r\n\r\n")


async def test_a_client_need_not_wait_for_what_it_expects(rig: Rig) -> None:
    client = await rig.client()
    await client.send(HEAD + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc")
    peer = await rig.upstream.accept()
    assert (await peer.contains(b"abc")).endswith(b"\r\n\r\nabc")
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    await peer.send(answer)
    assert await client.contains(answer) == answer


@pytest.mark.parametrize("size", [b"8", b"a0"], ids=["small", "large"])
async def test_chunks_beyond_the_limit_never_become_a_whole_body(size: bytes) -> None:
    async with running(ProxyLimits(body_bytes=10)) as rig:
        client, peer = await begin(rig, CHUNKED + b"3\r\nabc\r\n")
        await client.send(size + b"\r\n" + b"d" * int(size, 16) + b"\r\n0\r\n\r\n")
        assert (await client.rest()).startswith(b"HTTP/1.1 413 ")
        assert not (await peer.closed()).endswith(b"0\r\n\r\n")
        assert [each.code for each in rig.observer.failures] == ["body_too_large"]


FLOODS = {"trailers": b"0\r\n" + b"X: y\r\n" * 2000, "a chunk extension": b"1;" + b"x" * 10_000}


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS.keys())
async def test_what_comes_with_a_body_has_limits_too(flood: bytes) -> None:
    async with running(ProxyLimits(head_bytes=8192)) as rig:
        client, peer = await begin(rig, CHUNKED + b"3\r\nabc\r\n")
        await client.send(flood)
        assert (await client.rest()).startswith(b"HTTP/1.1 431 ")
        assert (await peer.closed()).endswith(b"abc\r\n")


ENDS = {"FIN": Peer.eof, "close": Peer.close, "RST": Peer.reset}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())
@pytest.mark.parametrize("begun", BEGUN.values(), ids=BEGUN.keys())
async def test_an_upstream_that_hangs_up(rig: Rig, begun: bytes, end: Callable[[Peer], None]) -> None:
    """The client can read why, although it still sends."""
    client, peer = await begin(rig, begun)
    end(peer)
    answer = await client.rest()
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert CLOSE in answer
    assert rig.observer.answers == [502]


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())
@pytest.mark.parametrize("begun", BEGUN.values(), ids=BEGUN.keys())
async def test_a_client_that_hangs_up(rig: Rig, begun: bytes, end: Callable[[Peer], None]) -> None:
    """The upstream cannot take what it has for the whole."""
    client, peer = await begin(rig, begun)
    end(client)
    assert not (await peer.closed()).endswith(b"0\r\n\r\n")
    await wait_for(lambda: rig.observer.answers == [499])


async def test_a_client_that_leaves_in_the_middle_of_the_answer(rig: Rig) -> None:
    client = await rig.client()
    await client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    peer = await rig.upstream.accept()
    await peer.contains(b"\r\n\r\n")
    await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
    await client.contains(b"abc")
    client.reset()
    await peer.closed()
    await wait_for(lambda: rig.observer.answers == [499])
