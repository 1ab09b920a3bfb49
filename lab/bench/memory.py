"""What the sidecar's memory does under large bodies and under many idle connections."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from http import HTTPStatus
from http.client import HTTPConnection
from itertools import repeat
from pathlib import Path
from typing import Any

from lab import ROOT
from lab.bench import pace
from lab.bench.figures import Bar
from lab.bench.host import MIB
from lab.bench.load import TARGET
from lab.bench.peers.base import Peer, Site
from lab.bench.peers.sidecar import Cached
from lab.bench.result import Result
from lab.bench.upstream import STATUS
from lab.bench.world import World
from lab.stack.daemon import Daemon
from lab.stack.process import Process, StackError

BODY_BYTES = 2048 * MIB
BODY_LIMIT = 16 * MIB
IDLE_CONNECTIONS = 10_000
IDLE_LIMIT = 12 * 1024
BLOCK = bytes(MIB)
STALL_SECONDS = 1.0
"""How long the client reads nothing at first, so that whatever can fill up does."""


class Sink(Daemon):
    name = "sink"

    def make_process(self) -> Process:
        argv = [sys.executable, "-m", "lab.bench.sink", str(self.port)]
        return Process(argv, cwd=ROOT, log_path=self.log_path)


def run(world: World, *, quick: bool) -> Result:
    """A sidecar of its own for each measurement: memory that one left behind must not help the next."""
    size, count = (64 * MIB, 500) if quick else (BODY_BYTES, IDLE_CONNECTIONS)
    with ExitStack() as stack:
        sink = stack.enter_context(Sink())
        upload = _growth(world, _site(world, sink), lambda address: _upload(address, world, size))
        download = _growth(world, _site(world, sink), lambda address: _download(address, size))
    idle = _growth(world, world.site, lambda address: _hold(address, world, count))
    gib = f"{size / MIB / 1024:g} GiB"
    bars = [
        Bar(f"memory growth, {gib} uploaded", BODY_LIMIT / MIB, upload.peak / MIB, "MiB"),
        Bar(
            f"memory growth, {gib} downloaded by a client that stalls",
            BODY_LIMIT / MIB,
            download.peak / MIB,
            "MiB",
        ),
        Bar(
            f"memory of each of {count:,} idle connections", IDLE_LIMIT / 1024, idle.now / count / 1024, "KiB"
        ),
    ]
    facts = {
        "upload, MiB/s": round(size / MIB / upload.seconds),
        "download, MiB/s": round(size / MIB / download.seconds),
    }
    return Result("Memory", bars, facts)


class Growth:
    """By how many bytes a sidecar's memory grew: at most, and in the end."""

    def __init__(self, peak: int, now: int, seconds: float) -> None:
        self.peak, self.now, self.seconds = peak, now, seconds


def _site(world: World, sink: Sink) -> Site:
    return Site(world.cores, sink.address, world.site.authorizer, world.site.issuer, world.site.subjects)


def _growth(world: World, site: Site, use: Callable[[tuple[str, int]], object]) -> Growth:
    """What `use` does to a sidecar that has served before. Whatever `use` returns is kept until the end."""
    with Cached(site, world.user_service, world.sidecar_env) as sidecar:
        address = ("127.0.0.1", sidecar.port)
        pace.run(address, pace.messages(sidecar.address, world.tokens.allowed), 500, 2)
        before = _memory(sidecar, "VmRSS")
        Path(f"/proc/{sidecar.process.pid}/clear_refs").write_text("5")  # the peak counts from now
        start = time.monotonic()
        kept = use(address)
        seconds = time.monotonic() - start
        growth = Growth(_memory(sidecar, "VmHWM") - before, _memory(sidecar, "VmRSS") - before, seconds)
        del kept
    return growth


def _memory(peer: Peer, field: str) -> int:
    for line in Path(f"/proc/{peer.process.pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise StackError(f"the kernel does not tell {field}")


def _upload(address: tuple[str, int], world: World, size: int) -> None:
    connection = HTTPConnection(*address, timeout=60)
    headers = {"Authorization": f"Bearer {world.tokens.allowed[0]}", "Content-Length": str(size)}
    connection.request("POST", TARGET, repeat(BLOCK, size // len(BLOCK)), headers)
    answer = connection.getresponse()
    if (answer.status, answer.read()) != (STATUS, b"%d" % size):
        raise StackError(f"an upload of {size} bytes was answered {answer.status}")
    connection.close()


def _download(address: tuple[str, int], size: int) -> None:
    connection = HTTPConnection(*address, timeout=60)
    connection.request("GET", f"/bytes/{size}")
    time.sleep(STALL_SECONDS)
    answer, received, buffer = connection.getresponse(), 0, bytearray(MIB)
    while count := answer.readinto(buffer):
        received += count
    if answer.status != HTTPStatus.OK or received != size:
        raise StackError(f"a download of {size} bytes: status {answer.status}, {received} bytes arrived")
    connection.close()


def _hold(address: tuple[str, int], world: World, count: int) -> Any:
    """Connections that have each had one request answered."""
    messages = pace.messages("bench", world.tokens.allowed)
    held = []
    for number in range(count):
        connection = pace.Connection(*address)
        connection.send(messages[number % len(messages)], 0.0)
        while (status := connection.receive()) is None:
            pass
        if status != STATUS:
            raise StackError(f"connection {number} was answered {status}")
        held.append(connection)
    return held
