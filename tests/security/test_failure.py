"""What is not known is neither denied nor allowed, and what is not safe does not start."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiormq
from aiormq.abc import AbstractChannel, DeliveredMessage
from redis import Redis as RedisClient

from authz_sidecar.replica.subscription import EXCHANGE, open_queue
from lab import DEADLINE
from lab.stack.client import People, call
from lab.stack.process import Process, wait_for
from lab.stack.servers import Redis
from lab.stack.services import Sidecar
from lab.stack.system import Stack
from lab.wire.front import Front, Tap, attacking, statuses
from lab.wire.peers import wait_for as wait_until

DELETE = b"DELETE /students/999999/ HTTP/1.1\r\nHost: localhost\r\n"
TOKEN = b"Authorization: Bearer <%b>\r\n\r\n"
READ = b"GET /students/1/ HTTP/1.1\r\nHost: localhost\r\n\r\n"

COMPLETE = {
    "AUTHZ_UPSTREAM": "http://127.0.0.1:1",
    "AUTHZ_USER_SERVICE": "http://127.0.0.1:1",
    "AUTHZ_SERVICE_TOKEN": "x",
    "AUTHZ_POLICY": "policy.yaml",
    "AUTHZ_JWT_ISSUER": "x",
    "AUTHZ_JWT_AUDIENCE": "x",
    "AUTHZ_LISTEN": "127.0.0.1:0",
    "AUTHZ_ADMIN_LISTEN": "127.0.0.1:0",
}
UNSAFE = [
    # CVE-2026-55689: without an audience every token is good
    ({"AUTHZ_JWT_AUDIENCE": ""}, "error: AUTHZ_JWT_AUDIENCE: is required"),
    ({"AUTHZ_JWT_ALGORITHMS": "RS256,none"}, "error: AUTHZ_JWT_ALGORITHMS: "),
    ({"AUTHZ_JWT_ALGORITHMS": "HS256"}, "error: AUTHZ_JWT_ALGORITHMS: "),
    # without a policy everything is allowed
    ({"AUTHZ_POLICY": "missing.yaml"}, "error: missing.yaml: "),
    ({"AUTHZ_POLICY": "empty.yaml"}, "error: empty.yaml"),
]


def test_what_would_allow_too_much_does_not_start(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text("version: 1\nrules: []\n")
    (tmp_path / "empty.yaml").write_text("")
    argv = [sys.executable, "-m", "authz_sidecar", "run"]
    processes = [
        Process(argv, env=COMPLETE | changes, cwd=tmp_path, log_path=tmp_path / f"{number}.log")
        for number, (changes, _) in enumerate(UNSAFE)
    ]
    for process in processes:
        process.start()
    for process, (_, complaint) in zip(processes, UNSAFE, strict=True):
        wait_for(lambda process=process: not process.alive, DEADLINE, complaint)
        assert process.log_tail().startswith(complaint)
        assert process.exit_code == 2


@asynccontextmanager
async def fragile(system: Stack, tokens: Mapping[str, str], **settings: str) -> AsyncIterator[Front]:
    """A sidecar of its own, which keeps its copy in memory and soon has doubts."""
    with socket.create_server(("127.0.0.1", 0)) as upstream:
        url = f"http://127.0.0.1:{upstream.getsockname()[1]}"
        env = {f"AUTHZ_{name}": value for name, value in settings.items()}
        with Sidecar(system.user_service, url, {"AUTHZ_USER_SERVICE_TIMEOUT": "1", **env}) as sidecar:
            async with attacking(sidecar, system.student_service, upstream, tokens) as front:
                yield front


async def until(front: Front, request: bytes, status: int, before: int = 503) -> None:
    """Ask until this is the answer; up to then it is `before`, and nothing else."""
    async with asyncio.timeout(DEADLINE):
        while (answered := statuses(await front.ask(request))) != [status]:
            assert answered == [before]


async def test_keys_that_cannot_be_fetched_are_unknown(system: Stack, tokens: Mapping[str, str]) -> None:
    keys = Tap(0)
    await keys.start()
    url = f"http://127.0.0.1:{keys.port}/.well-known/jwks.json"
    async with fragile(system, tokens, JWKS_URL=url) as front:
        answer = await front.ask(DELETE + TOKEN % b"admin")
        assert statuses(answer) == [503]
        assert b'"keys_unknown"' in answer
        await front.nothing_arrived()
        assert not is_fresh(front)
        keys.onward = system.user_service.port
        await until(front, DELETE + TOKEN % b"admin", 404)
        wait_for(lambda: is_fresh(front), DEADLINE, "readiness")
        await until(front, DELETE + TOKEN % b"alice", 403)
    await keys.stop()


async def test_an_outage_is_no_refusal(system: Stack, tokens: Mapping[str, str], issuer: Any) -> None:
    stranger = issuer.sign(issuer.header, issuer.claims("admin") | {"sub": "123456"}).encode()
    async with fragile(system, tokens, MAX_STALENESS="2", FEED_INTERVAL="0.2") as front:
        await until(front, DELETE + TOKEN % b"admin", 404)
        arrived = len(await front.arrived())
        system.user_service.suspend()
        try:
            assert statuses(await front.ask((DELETE + TOKEN % b"x").replace(b"<x>", stranger))) == [503]
            wait_for(lambda: not is_fresh(front), DEADLINE, "doubt")
            for user in (b"admin", b"alice"):
                answer = await front.ask(DELETE + TOKEN % user)
                assert statuses(answer) == [503]
                assert b'"stale"' in answer
            assert statuses(await front.ask(DELETE + b"\r\n")) == [401]
            assert len(await front.arrived()) == arrived
            assert statuses(await front.ask(READ)) == [200]
        finally:
            system.user_service.resume()
        await until(front, DELETE + TOKEN % b"admin", 404)
        await until(front, DELETE + TOKEN % b"alice", 403)
        await until(front, (DELETE + TOKEN % b"x").replace(b"<x>", stranger), 401)
        wait_for(lambda: is_fresh(front), DEADLINE, "certainty")


def is_fresh(front: Front) -> bool:
    """Whether it says itself that it can decide."""
    return call(f"{front.sidecar.admin_url}/readyz?fresh").status == 200


async def test_a_copy_that_was_lost_is_not_an_empty_one(
    front: Front, redis_server: Redis, issuer: Any
) -> None:
    stranger = issuer.sign(issuer.header, issuer.claims("admin") | {"sub": "123456"}).encode()
    right = {
        DELETE + TOKEN % b"admin": 404,
        DELETE + TOKEN % b"alice": 403,
        (DELETE + TOKEN % b"x").replace(b"<x>", stranger): 401,
    }
    with RedisClient.from_url(redis_server.url) as client:
        for _ in range(5):
            client.flushall()
            for request, status in right.items():
                assert statuses(await front.ask(request)) in ([status], [503])
    for request, status in right.items():
        await until(front, request, status)


async def test_an_older_message_undoes_nothing(front: Front, system: Stack, people: People) -> None:
    """Each change is heard again, in both orders, after the last of them was made."""
    alice, add, delete = people.id_of("alice"), "students.add_student", "students.delete_student"
    deleting = DELETE + TOKEN % b"alice"
    creating = deleting.replace(b"DELETE /students/999999/", b"POST /students/")
    async with listening(system) as (channel, heard):
        people.grant(alice, delete)
        await until(front, deleting, 404, before=403)
        people.revoke(alice, delete)
        await until(front, deleting, 403, before=404)
        await wait_until(lambda: len(heard) == 2)
        for message in [*heard, *reversed(heard)]:
            await channel.basic_publish(message, exchange=EXCHANGE)
        people.grant(alice, add)
        await until(front, creating, 400, before=403)  # by now it has read what was sent before
        assert statuses(await front.ask(deleting)) == [403]
        people.revoke(alice, add)
        await until(front, creating, 403, before=400)


@asynccontextmanager
async def listening(system: Stack) -> AsyncIterator[tuple[AbstractChannel, list[bytes]]]:
    """A channel of somebody who may publish, and the changes that are published from now on."""
    heard: list[bytes] = []

    async def hear(message: DeliveredMessage) -> None:
        if json.loads(message.body)["type"] == "change":
            heard.append(message.body)

    assert system.relay is not None
    connection = await aiormq.connect(system.relay.env["AUTHZ_AMQP_URL"])
    try:
        channel = await connection.channel()
        await channel.basic_consume(await open_queue(channel), hear, no_ack=True)
        yield channel, heard
    finally:
        await connection.close()
