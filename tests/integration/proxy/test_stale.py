"""A kept connection ends as a request is on its way: which ones are sent once more, and which never."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from authz_sidecar.config.addresses import UpstreamAddress
from authz_sidecar.config.limits import ProxyLimits
from lab.wire import Client, Peer, Rig, running
from lab.wire.peers import wait_for

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
HEAD_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
ALL = ProxyLimits(retry_methods=frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"}))
NONE = ProxyLimits(retry_methods=frozenset())


def asked(method: bytes, *fields: bytes, body: bytes = b"") -> bytes:
    path = b"/socket/" if method in (b"GET", b"HEAD") else b"/students/1/"
    path = b"/open/1" if method == b"POST" else path
    lines = [b"%b %b HTTP/1.1" % (method, path), b"Host: x", b"Authorization: Bearer alice", *fields]
    return b"\r\n".join([*lines, b"", body])


async def lost(rig: Rig, request: bytes) -> tuple[Client, Peer]:
    """A client whose request was handed to a kept connection that the service then ends without a word."""
    client, peer = await rig.exchanged(asked(b"GET"), OK)
    client.take()
    peer.take()
    await client.send(request)
    await peer.contains(b"\r\n\r\n")
    return client, peer


AGAIN = {
    "GET": (None, asked(b"GET")),
    "HEAD": (None, asked(b"HEAD")),
    "OPTIONS": (None, asked(b"OPTIONS")),
    "GET with an empty body": (None, asked(b"GET", b"Content-Length: 0")),
    "GET of a browser": (None, asked(b"GET", b"Upgrade-Insecure-Requests: 1")),
    "PUT where it is set": (ALL, asked(b"PUT", b"Content-Length: 0")),
    "DELETE where it is set": (ALL, asked(b"DELETE")),
}
NEVER = {
    "POST": (None, asked(b"POST", b"Content-Length: 0")),
    "PATCH": (None, asked(b"PATCH", b"Content-Length: 0")),
    "POST where all is set": (ALL, asked(b"POST", b"Content-Length: 0")),
    "PUT": (None, asked(b"PUT", b"Content-Length: 0")),
    "DELETE": (None, asked(b"DELETE")),
    "PUT with a body": (ALL, asked(b"PUT", b"Content-Length: 1", body=b"x")),
    "GET with a body": (None, asked(b"GET", b"Content-Length: 1", body=b"x")),
    "GET with a chunked body": (None, asked(b"GET", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n")),
    "GET that expects": (None, asked(b"GET", b"Expect: 100-continue")),
    "GET that upgrades": (None, asked(b"GET", b"Connection: Upgrade", b"Upgrade: websocket")),
    "GET that upgrades to something": (None, asked(b"GET", b"Connection: Upgrade", b"Upgrade: h2c")),
    **{
        f"GET with {name.decode()}": (None, asked(b"GET", name + b": x"))
        for name in (b"If-Match", b"If-None-Match", b"if-modified-since", b"IF-UNMODIFIED-SINCE", b"If-Range")
    },
    "GET where nothing is set": (NONE, asked(b"GET")),
}


@pytest.mark.parametrize(("limits", "request_"), AGAIN.values(), ids=AGAIN.keys())
@pytest.mark.parametrize("end", ["reset", "close"])
async def test_what_does_no_harm_twice_is_sent_once_more(
    limits: ProxyLimits | None, request_: bytes, end: str
) -> None:
    async with running(limits) as rig:
        client, first = await lost(rig, request_)
        getattr(first, end)()
        second = await rig.upstream.accept()
        assert await second.contains(b"\r\n\r\n") == first.received  # the request id, too
        await second.send(HEAD_OK if request_.startswith(b"HEAD") else OK)
        assert await client.contains(b"\r\n\r\n")
        assert len(rig.upstream.peers) == 2
        assert [len(rig.observer.decisions), len(rig.observer.retries)] == [3, 1]
        assert rig.observer.failures == []
        assert rig.observer.retries == [rig.observer.decisions[-1].request_id]


@pytest.mark.parametrize(("limits", "request_"), NEVER.values(), ids=NEVER.keys())
async def test_what_may_do_harm_is_not(limits: ProxyLimits | None, request_: bytes) -> None:
    async with running(limits) as rig:
        client, first = await lost(rig, request_)
        first.reset()
        await client.contains(b"HTTP/1.1 502 ")
        assert (len(rig.upstream.peers), rig.observer.retries) == (1, [])


async def test_it_is_once_more_and_not_again(rig: Rig) -> None:
    client, first = await lost(rig, asked(b"GET"))
    first.reset()
    second = await rig.upstream.accept()
    await second.contains(b"\r\n\r\n")
    second.reset()
    await client.contains(b"HTTP/1.1 502 ")
    assert len(rig.upstream.peers) == 2


async def test_a_new_connection_that_ends_is_no_stale_one(rig: Rig) -> None:
    client = await rig.client()
    await client.send(asked(b"GET"))
    peer = await rig.upstream.accept()
    await peer.contains(b"\r\n\r\n")
    peer.reset()
    await client.contains(b"HTTP/1.1 502 ")
    assert len(rig.upstream.peers) == 1


@pytest.mark.parametrize("begun", [b"H", b"HTTP/1.1 103 Early Hints\r\n\r\n", OK[:-1]])
async def test_once_the_answer_has_begun_nothing_is_sent_again(rig: Rig, begun: bytes) -> None:
    _, first = await lost(rig, asked(b"GET"))
    await first.send(begun)
    (connection,) = rig.shared.pool.connections
    await wait_for(lambda: connection._heard)
    first.reset()
    await wait_for(lambda: len(rig.observer.answers) == 2)
    assert len(rig.upstream.peers) == 1


async def test_it_is_decided_again_by_what_is_known_then(rig: Rig) -> None:
    client, first = await lost(rig, asked(b"GET"))
    rig.permissions.grants["alice"] = set()
    first.reset()
    await client.contains(b"HTTP/1.1 403 ")
    assert len(rig.upstream.peers) == 1
    assert [decision.status for decision in rig.observer.decisions] == [0, 0, 403]


async def test_the_second_decision_may_wait(rig: Rig) -> None:
    client, first = await lost(rig, asked(b"GET"))
    rig.permissions.gate.clear()
    first.reset()
    await wait_for(lambda: rig.observer.retries)
    assert len(rig.upstream.peers) == 1
    rig.permissions.gate.set()
    second = await rig.upstream.accept()
    await second.contains(b"\r\n\r\n")
    await second.send(OK)
    await client.contains(OK)


async def test_a_client_that_leaves_meanwhile_sends_nothing(rig: Rig) -> None:
    client, first = await lost(rig, asked(b"GET"))
    rig.permissions.gate.clear()
    first.reset()
    await wait_for(lambda: rig.observer.retries)
    client.reset()
    await wait_for(lambda: not rig.server.clients)
    rig.permissions.gate.set()
    await asyncio.sleep(0)
    assert len(rig.upstream.peers) == 1


async def test_it_goes_over_a_new_connection_though_others_are_kept(rig: Rig) -> None:
    """Those may have ended, too."""
    other, kept = await rig.exchanged(asked(b"GET"), OK)
    client = await rig.client()
    await other.send(asked(b"GET"))  # so that the kept one is busy
    await kept.until(lambda received: received.count(b"\r\n\r\n") == 2)
    await client.send(asked(b"GET"))
    first = await rig.upstream.accept()
    await first.contains(b"\r\n\r\n")
    await first.send(OK)
    await client.contains(OK)
    client.take()
    await client.send(asked(b"GET"))
    await first.until(lambda received: received.count(b"\r\n\r\n") == 2)
    await kept.send(OK)
    await other.until(lambda received: received.count(OK) == 2)
    first.reset()
    third = await rig.upstream.accept()
    await third.contains(b"\r\n\r\n")
    await third.send(OK)
    await client.contains(OK)


async def test_a_full_pool_makes_room_for_it() -> None:
    async with running(ProxyLimits(upstream_connections=1)) as rig:
        client, first = await lost(rig, asked(b"GET"))
        first.reset()
        second = await rig.upstream.accept()
        await second.contains(b"\r\n\r\n")
        await second.send(OK)
        await client.contains(OK)


SAID = {
    "seconds": (b"Keep-Alive: timeout=2", 2),
    "seconds and requests": (b"keep-alive: max=100, timeout=2", 2),
    "quoted": (b'Keep-Alive: timeout="2"', 2),
    "spaced": (b"Keep-Alive: max=9; timeout = 2", 2),
    "without a name": (b"Keep-Alive: 2", 2),
    "twice": (b"Keep-Alive: timeout=9\r\nKeep-Alive: timeout=2", 2),
    "nothing understood": (b"Keep-Alive: yes", 30),
    "more than we keep": (b"Keep-Alive: timeout=90", 30),
    "nothing": (b"X: y", 30),
}


@pytest.mark.parametrize(("field", "seconds"), SAID.values(), ids=SAID.keys())
async def test_no_connection_is_used_that_was_idle_for_as_long_as_the_service_keeps_it(
    rig: Rig, field: bytes, seconds: float
) -> None:
    answer = OK.replace(b"\r\n\r\n", b"\r\n" + field + b"\r\n\r\n")
    client = await rig.client()
    await client.send(asked(b"GET"))
    peer = await rig.upstream.accept()
    for count in (1, 2):
        await peer.until(lambda received, count=count: received.count(b"\r\n\r\n") == count)
        await peer.send(answer)
        await client.until(lambda received, count=count: received.count(OK[-6:]) == count)
        rig.clock.ahead += seconds * (0.8 if count == 1 else 1)
        await client.send(asked(b"GET"))
    other = await rig.upstream.accept()
    await other.contains(b"\r\n\r\n")


class Hasty:
    """A service that answers, and ends each connection that has been idle for 3 ms."""

    def __init__(self) -> None:
        self.requests: Counter[bytes] = Counter()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seconds = None
        with suppress(TimeoutError, asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), seconds)
                self.requests[head.split(b" ", 2)[1]] += 1
                writer.write(OK)
                seconds = 0.003
        if self.requests.total() % 2:
            writer.close()
        else:
            writer.transport.abort()


async def asking(rig: Rig, requests: list[bytes]) -> Counter[bytes]:
    """The statuses of the answers to these requests on one connection, each after a pause."""
    statuses: Counter[bytes] = Counter()
    client = await rig.client()
    for number, request in enumerate(requests):
        await client.send(request)
        await client.until(lambda received: b"\r\n\r\n" in received)
        statuses[client.take()[9:12]] += 1
        await asyncio.sleep(0.0025 + number % 8 * 0.0002)
    return statuses


async def test_a_service_that_hardly_keeps_connections(tmp_path: Path) -> None:
    hasty, path = Hasty(), tmp_path / "hasty.sock"
    async with running() as rig:
        rig.shared.pool.address = UpstreamAddress.parse(f"unix:{path}")
        server = await asyncio.start_unix_server(hasty.serve, path)
        gets = [[b"GET /%d.%d HTTP/1.1\r\nHost: x\r\n\r\n" % (c, n) for n in range(50)] for c in range(6)]
        posts = [
            [b"POST /open/%d.%d HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n" % (c, n) for n in range(50)]
            for c in range(2)
        ]
        statuses = await asyncio.gather(*(asking(rig, requests) for requests in [*gets, *posts]))
        server.close()
    assert sum(statuses[:6], Counter()) == {b"200": 300}
    assert max(count for path_, count in hasty.requests.items() if path_.startswith(b"/open/")) == 1
