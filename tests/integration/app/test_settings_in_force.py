"""What settings and signals say reaches the byte path: the whole program, while the User service is away."""

from __future__ import annotations

import asyncio
import json
import signal
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from lab import DEADLINE
from lab.stack.alone import Alone
from lab.stack.process import wait_for
from lab.wire.certificates import self_signed
from lab.wire.peers import Client, Peer, Upstream
from lab.wire.peers import wait_for as until

GET = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class UnderWay(NamedTuple):
    program: Alone
    client: Client
    peer: Peer


@pytest.fixture
def pem(tmp_path: Path) -> tuple[Path, Path]:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    for path, content in zip((certificate, key), self_signed(), strict=True):
        path.write_bytes(content)
    return certificate, key


async def ask(port: int, request: bytes, tls: ssl.SSLContext | None = None) -> bytes:
    async with await Client.connect(port, tls) as client:
        await client.send(request)
        return await client.closed()


def failures(program: Alone) -> list[tuple[int, str]]:
    """Status and code of the failures logged so far."""
    return [(line["status"], line["code"]) for line in program.lines(type="failure")]


async def test_tls_on_both_sides(start: Callable[..., Alone], pem: tuple[Path, Path]) -> None:
    certificate, key = pem
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(certificate, key)
    upstream = Upstream()
    upstream.answer = OK
    await upstream.start(tls=server)
    url = f"https://localhost:{upstream.port}"
    program = start(url, TLS_CERT=certificate, TLS_KEY=key, UPSTREAM_CA=certificate)
    client = ssl.create_default_context(cafile=certificate)
    assert b"200 OK" in await ask(program.port, GET, client)
    assert b"X-Forwarded-Proto: https\r\n" in upstream.received
    await upstream.stop()


async def test_an_upstream_with_another_name_is_not_the_upstream(
    start: Callable[..., Alone], pem: tuple[Path, Path]
) -> None:
    certificate, key = pem
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(certificate, key)
    upstream = Upstream()
    upstream.answer = OK
    await upstream.start(tls=server)
    program = start(f"https://127.0.0.1:{upstream.port}", UPSTREAM_CA=certificate)
    assert (await ask(program.port, GET)).startswith(b"HTTP/1.1 502 ")
    checks = json.loads(await asyncio.to_thread(program.admin, "/readyz"))["checks"]
    assert checks["upstream"].startswith(f"127.0.0.1:{upstream.port}: its certificate is not accepted: ")
    assert not upstream.peers
    await upstream.stop()


@pytest.mark.parametrize("validation", ["cached", "request"])
async def test_readiness_tells_what_is_missing_for_decisions(
    start: Callable[..., Alone], validation: str
) -> None:
    """The User service is away: there are no keys, and no copy or nobody to ask."""
    program = start("http://127.0.0.1:1", VALIDATION=validation)
    answer = json.loads(program.admin("/readyz?fresh"))
    assert answer["status"] == "failing"
    assert answer["checks"]["keys"].startswith("there are no signing keys: ")
    wanted = {"cached": ("fresh", "not_ready: "), "request": ("user_service", "the User service cannot")}
    name, problem = wanted[validation]
    assert answer["checks"][name].startswith(problem)
    keys = json.loads(program.admin("/status"))["keys"]
    assert (keys["kids"], keys["age"]) == ([], None)
    wait_for(lambda: program.counted("authz_signing_keys_failing"), DEADLINE, "an attempt to fetch the keys")
    assert program.counted("authz_signing_keys") == 0


async def test_limits_the_proxy_protocol_and_what_is_told_of_failures(start: Callable[..., Alone]) -> None:
    upstream = Upstream()
    upstream.answer = OK
    await upstream.start()
    program = start(
        f"http://127.0.0.1:{upstream.port}",
        PROXY_PROTOCOL="required",
        TRUSTED_PROXIES="127.0.0.1",
        MAX_BODY_BYTES=3,
        MAX_TARGET_BYTES=256,
    )
    named = b"PROXY TCP4 192.0.2.1 127.0.0.1 1 2\r\n"
    post = b"POST /open/ HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b"
    assert b"HTTP/1.1 200 " in await ask(program.port, named + GET)
    assert b"X-Forwarded-For: 192.0.2.1\r\n" in upstream.received
    received = upstream.received
    assert await ask(program.port, GET) == b""
    assert b"HTTP/1.1 413 " in await ask(program.port, named + post % (4, b"four"))
    assert b"HTTP/1.1 414 " in await ask(program.port, named + GET.replace(b"/", b"/" + b"a" * 256, 1))
    assert upstream.received == received
    await upstream.stop()
    wanted = [(0, "proxy_header_malformed"), (413, "body_too_large"), (414, "target_too_long")]
    wait_for(lambda: len(failures(program)) == len(wanted), DEADLINE, "the log")
    assert failures(program) == wanted
    metrics = program.admin("/metrics").splitlines()
    for status, code in wanted:
        assert f'authz_failures_total{{code="{code}"}} 1.0' in metrics, status
    assert 'authz_responses_total{class="2xx"} 1.0' in metrics
    assert 'authz_responses_total{class="4xx"} 2.0' in metrics


async def test_a_head_that_does_not_end_in_time(start: Callable[..., Alone]) -> None:
    """By a program of its own: who is slow on a busy machine would trip so short a limit elsewhere."""
    program = start("http://127.0.0.1:1", HEAD_TIMEOUT=0.1)
    assert b"HTTP/1.1 408 " in await ask(program.port, b"GET")
    wait_for(lambda: failures(program), DEADLINE, "the log")
    assert failures(program) == [(408, "request_timeout")]
    assert 'authz_failures_total{code="request_timeout"} 1.0' in program.admin("/metrics").splitlines()


@asynccontextmanager
async def under_way(
    start: Callable[..., Alone], path: Path | None = None, **settings: object
) -> AsyncIterator[UnderWay]:
    """A request that the upstream has heard and not answered. With `path` it listens on a Unix socket."""
    upstream = Upstream()
    await upstream.start(str(path) if path else None)
    program = start(f"unix:{path}" if path else f"http://127.0.0.1:{upstream.port}", **settings)
    async with await Client.connect(program.port) as client:
        await client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        peer = await upstream.accept()
        await peer.contains(b"\r\n\r\n")
        yield UnderWay(program, client, peer)
    await upstream.stop()


@pytest.mark.parametrize("name", ["SIGTERM", "SIGQUIT"])
async def test_requests_under_way_end_before_the_program(start: Callable[..., Alone], name: str) -> None:
    async with under_way(start) as (program, client, peer), await Client.connect(program.port) as idle:
        program.signal(signal.Signals[name])
        assert await idle.closed() == b""
        with pytest.raises(ConnectionRefusedError):
            await Client.connect(program.port)
        await peer.send(OK)
        assert await client.rest() == OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        await until(lambda: program.process.exit_code == 0)


@pytest.mark.parametrize("name", ["SIGUSR1", "SIGUSR2"])
async def test_a_signal_that_means_nothing_drops_nothing(start: Callable[..., Alone], name: str) -> None:
    async with under_way(start) as (program, client, peer):
        program.signal(signal.Signals[name])
        await peer.send(OK)
        assert await client.contains(OK)
        wait_for(lambda: name in program.process.log_path.read_text(), DEADLINE, "a line on the signal")
        assert program.process.alive


async def test_requests_that_do_not_end_are_cut_off(start: Callable[..., Alone], tmp_path: Path) -> None:
    async with under_way(start, tmp_path / "upstream.sock", DRAIN_TIMEOUT=0.1) as (program, client, peer):
        program.signal(signal.SIGINT)
        with pytest.raises(ConnectionError):
            await client.rest()
        assert await peer.closed()
        await until(lambda: program.process.exit_code == 0)
