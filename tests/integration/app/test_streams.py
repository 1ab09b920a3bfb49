"""Whatever becomes of standard output and error, requests, health and the end go on; losses are counted."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from lab import DEADLINE
from lab.stack.alone import Alone
from lab.stack.process import wait_for
from lab.wire.peers import Client, Upstream
from lab.wire.peers import wait_for as until

POST = b"POST /open/ HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

UNREAD = {
    "stdout unread": "1<>{pipe}",
    "stderr unread": "2<>{pipe}",
    "both unread": "1<>{pipe} 2>&1",
}
LOST = {
    "stdout full": (">/dev/full", ["decision_log"]),
    "stderr full": ("2>/dev/full", ["log"]),
    "stdout without reader": ("> >(exec true)", ["decision_log"]),
    "both without reader": ("> >(exec true) 2>&1", ["decision_log", "log"]),
    "stdin closed": ("<&-", []),
    "stdout closed": (">&-", ["decision_log"]),
    "stderr closed": ("2>&-", ["log"]),
    "all closed": ("<&- >&- 2>&-", ["decision_log", "log"]),
}


@pytest.fixture
async def upstream() -> AsyncIterator[str]:
    server = Upstream()
    server.answer = OK
    await server.start()
    yield f"http://127.0.0.1:{server.port}"
    await server.stop()


@pytest.fixture
def full_pipe(tmp_path: Path) -> Iterator[Path]:
    """A pipe that takes nothing more, and that nobody reads."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    with suppress(BlockingIOError):
        while True:
            os.write(descriptor, bytes(4096))
    yield path
    os.close(descriptor)


async def serves(program: Alone) -> None:
    """It answers requests and questions for its health."""
    async with await Client.connect(program.port) as client:
        for _ in range(20):
            await client.send(POST)
            await client.contains(OK)
            client.take()
    assert "ok" in program.admin("/livez")


async def ends(program: Alone) -> None:
    program.signal(signal.SIGTERM)
    await until(lambda: program.process.exit_code is not None)
    assert program.process.exit_code == 0


@pytest.mark.parametrize("redirections", UNREAD.values(), ids=UNREAD)
async def test_a_stream_that_nobody_reads(
    start: Callable[..., Alone], upstream: str, full_pipe: Path, redirections: str
) -> None:
    program = start(upstream, redirections=redirections.format(pipe=full_pipe), LOG_LEVEL="debug")
    await serves(program)
    await ends(program)


@pytest.mark.parametrize(("redirections", "lost"), LOST.values(), ids=LOST)
async def test_a_stream_that_takes_nothing(
    start: Callable[..., Alone], upstream: str, redirections: str, lost: list[str]
) -> None:
    program = start(upstream, redirections=redirections, LOG_LEVEL="debug")
    for number in range(3):
        target = os.readlink(f"/proc/{program.process.pid}/fd/{number}")
        assert not target.startswith(("socket:", "anon_inode:")), "a stream's place was given away"
    await serves(program)
    for name in lost:
        metric = f"authz_{name}_dropped_total"
        wait_for(lambda metric=metric: program.counted(metric) > 0, DEADLINE, metric)
    await ends(program)


async def test_no_line_gets_into_another(start: Callable[..., Alone], upstream: str) -> None:
    """Both streams are one file here, and every line of it is JSON."""
    program = start(upstream, LOG_LEVEL="debug")
    await serves(program)
    await ends(program)
    assert len(program.lines(type="decision")) == 20
    assert program.lines(level="info")
