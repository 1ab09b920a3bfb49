"""A permission that is gone ends what still goes on by it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from authz_sidecar.config.limits import ProxyLimits
from authz_sidecar.core import policy
from authz_sidecar.core.entities import EntityKey
from authz_sidecar.core.policy import Policy, RuleSource
from authz_sidecar.core.verdicts import Code, Requirement
from lab.wire import Client, Peer, Rig, running
from lab.wire.peers import wait_for

POST = b"POST /students/ HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer alice\r\nContent-Length: %d\r\n\r\n"
SOCKET = (
    b"GET /socket/ HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer alice\r\n"
    b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
)
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
ALICE = [EntityKey("user", "alice")]


async def upload(rig: Rig) -> tuple[Client, Peer]:
    client = await rig.client()
    await client.send(POST % 1_000_000 + b"abc")
    peer = await rig.upstream.accept()
    await peer.contains(b"abc")
    return client, peer


async def test_an_upload_is_answered_and_cut() -> None:
    async with running() as rig:
        client, peer = await upload(rig)
        rig.permissions.grants["alice"].clear()
        rig.server.reconsider(ALICE)
        assert (await client.rest()).startswith(b"HTTP/1.1 403 ")
        await peer.closed()
        decisions = [(d.verdict.code, d.revoking) for d in rig.observer.decisions]
        assert decisions == [(Code.GRANTED, False), (Code.PERMISSION_DENIED, True)]


async def test_a_response_under_way_is_cut(rig: Rig) -> None:
    client = await rig.client()
    await client.send(POST % 0)
    peer = await rig.upstream.accept()
    await peer.contains(b"\r\n\r\n")
    await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
    await client.contains(b"abc")
    rig.permissions.grants["alice"].clear()
    rig.server.reconsider(None)
    with pytest.raises(ConnectionError):
        await client.rest()
    await peer.closed()


async def test_an_upload_that_the_service_does_not_read_is_cut(rig: Rig) -> None:
    client = await rig.client()
    await client.send(POST % 100_000_000)
    peer = await rig.upstream.accept()
    peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
    sending = asyncio.create_task(client.send(bytes(100_000_000)))
    await wait_for(rig.paused)
    rig.permissions.grants["alice"].clear()
    rig.server.reconsider(ALICE)
    await client.contains(b"HTTP/1.1 403 ")
    sending.cancel()
    peer.writer.transport.resume_reading()  # type: ignore[attr-defined]
    await peer.closed()


async def test_a_response_that_the_client_does_not_read_is_cut(rig: Rig) -> None:
    client = await rig.client()
    await client.send(POST % 0)
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]
    peer = await rig.upstream.accept()
    await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
    sending = asyncio.create_task(peer.send(bytes(100_000_000)))
    await wait_for(rig.paused)
    rig.permissions.grants["alice"].clear()
    rig.server.reconsider(ALICE)
    with pytest.raises(ConnectionError):
        await sending
    assert rig.observer.answers == [403]


async def test_what_the_service_has_in_full_is_answered_by_the_service(rig: Rig) -> None:
    """A refusal would be a lie: the change was permitted, and is made."""
    client = await rig.client()
    await client.send(POST % 3 + b"abc")
    peer = await rig.upstream.accept()
    await peer.contains(b"\r\n\r\nabc")
    rig.permissions.grants["alice"].clear()
    rig.server.reconsider(ALICE)
    await peer.send(b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n")
    await client.contains(b"201 Created")
    await peer.send(b"ok")
    await client.contains(b"ok")
    await client.send(POST % 0)
    await client.contains(b" 403 ")


async def test_a_long_answer_that_begins_afterwards_is_cut(rig: Rig) -> None:
    client = await rig.client()
    await client.send(POST % 0)
    peer = await rig.upstream.accept()
    await peer.contains(b"\r\n\r\n")
    rig.permissions.grants["alice"].clear()
    rig.server.reconsider(ALICE)
    await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
    with pytest.raises(ConnectionError):
        await client.rest()
    await peer.closed()


async def test_a_tunnel_is_cut(rig: Rig) -> None:
    client = await rig.client()
    await client.send(SOCKET)
    peer = await rig.upstream.accept()
    await peer.contains(b"\r\n\r\n")
    await peer.send(SWITCH)
    await client.contains(SWITCH)
    rig.permissions.grants["alice"].clear()
    rig.server.reconsider([EntityKey("group", "3")])
    await client.closed()
    await peer.closed()


async def test_a_new_decision_that_waits_cuts_too(rig: Rig) -> None:
    client, peer = await upload(rig)
    rig.permissions.gate.clear()
    rig.server.reconsider(ALICE)
    rig.permissions.grants["alice"].clear()
    rig.permissions.gate.set()
    assert (await client.rest()).startswith(b"HTTP/1.1 403 ")
    await peer.closed()


async def test_what_waits_for_a_connection_is_refused_and_never_sent() -> None:
    async with running(ProxyLimits(upstream_connections=1)) as rig:
        busy, waiting = await rig.client(), await rig.client()
        await busy.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        peer = await rig.upstream.accept()
        await waiting.send(POST % 3 + b"abc")
        await wait_for(lambda: len(rig.observer.decisions) == 2)
        rig.permissions.grants["alice"].clear()
        rig.server.reconsider(ALICE)
        await waiting.contains(b"HTTP/1.1 403 ")
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await busy.contains(b"200 OK")
        assert b"POST" not in rig.upstream.received
        assert len(rig.upstream.peers) == 1


async def test_what_is_still_permitted_goes_on(rig: Rig) -> None:
    client = await rig.client()
    await client.send(POST % 6 + b"abc")
    peer = await rig.upstream.accept()
    await peer.contains(b"abc")
    rig.server.reconsider(None)
    rig.permissions.grants["alice"].discard("students.delete_student")
    rig.server.reconsider(ALICE)
    rig.permissions.grants["bob"].add("x")
    rig.server.reconsider([EntityKey("user", "bob")])
    await client.send(b"def")
    await peer.contains(b"abcdef")
    await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    await client.contains(b"200 OK")


async def test_what_has_ended_is_forgotten(rig: Rig) -> None:
    client = await rig.client()
    await client.send(POST % 0)
    peer = await rig.upstream.accept()
    await peer.contains(b"\r\n\r\n")
    assert len(rig.shared.revocable) == 1
    await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    await client.contains(b"200 OK")
    assert not rig.shared.revocable


async def test_shadow_mode_cuts_nothing() -> None:
    async with running(enforced=False) as rig:
        client, peer = await upload(rig)
        rig.permissions.grants["alice"].clear()
        rig.server.reconsider(None)
        await client.send(b"def")
        await peer.contains(b"abcdef")


def compiled(*rules: tuple[str, str, Requirement]) -> Policy:
    return policy.compile(RuleSource("new", (method,), path, wanted) for method, path, wanted in rules)


NOTHING = compiled()
VIEW = Requirement("any", ("students.view_student",))


async def test_rules_that_refuse_it_end_an_upload() -> None:
    async with running() as rig:
        client, peer = await upload(rig)
        rig.shared.pipeline.policy = NOTHING
        rig.server.reconsider(None)
        assert (await client.rest()).startswith(b"HTTP/1.1 403 ")
        await peer.closed()
        told = [(d.verdict.code, d.revoking, d.policy) for d in rig.observer.decisions[1:]]
        assert told == [(Code.NO_RULE, True, NOTHING.digest)]


async def test_rules_that_govern_it_now_end_a_read_that_none_had_governed(rig: Rig) -> None:
    client = await rig.client()
    await client.send(b"GET /students/ HTTP/1.1\r\nHost: x\r\n\r\n")
    peer = await rig.upstream.accept()
    await peer.contains(b"\r\n\r\n")
    await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
    await client.contains(b"abc")
    rig.shared.pipeline.policy = compiled(("GET", "/students/", VIEW))
    rig.server.reconsider(None)
    with pytest.raises(ConnectionError):
        await client.rest()
    await peer.closed()


async def test_rules_that_ask_for_a_token_end_what_anyone_could_send(rig: Rig) -> None:
    client = await rig.client()
    await client.send(b"POST /open/a HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
    peer = await rig.upstream.accept()
    await peer.contains(b"abc")
    rig.shared.pipeline.policy = compiled(("POST", "/open/{r:path}", VIEW))
    rig.server.reconsider(None)
    assert (await client.contains(b"\r\n\r\n")).startswith(b"HTTP/1.1 401 ")
    await peer.closed()


@pytest.mark.parametrize(
    ("rules", "goes_on"),
    [
        ([("GET", "/socket/", Requirement("any", ("students.view_student",)))], True),
        ([("GET", "/socket/", Requirement("anyone"))], True),
        ([("GET", "/socket/", Requirement("any", ("students.never",)))], False),
        ([], False),  # without a rule there is no upgrade
    ],
)
async def test_a_tunnel_is_matched_with_the_new_rules(rig: Rig, rules: list[Any], goes_on: bool) -> None:
    client = await rig.client()
    await client.send(SOCKET)
    peer = await rig.upstream.accept()
    await peer.contains(b"\r\n\r\n")
    await peer.send(SWITCH)
    await client.contains(b"\r\n\r\n")
    rig.shared.pipeline.policy = compiled(*rules)
    rig.server.reconsider(None)
    if goes_on:
        await client.send(b"ping")
        await peer.contains(b"ping")
    else:
        with pytest.raises(ConnectionError):
            await client.rest()
        await peer.closed()


async def test_what_goes_on_by_new_rules_is_revoked_by_what_they_ask_for(rig: Rig) -> None:
    client, peer = await upload(rig)
    rig.shared.pipeline.policy = compiled(("POST", "/students/", VIEW))
    rig.server.reconsider(None)
    rig.permissions.grants["alice"] = {"students.add_student"}  # what the former rule asked for
    rig.server.reconsider(ALICE)
    await client.contains(b"HTTP/1.1 403 ")
    await peer.closed()
