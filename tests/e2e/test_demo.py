"""scripts/demo in each of its ways, without what sets up the machine."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from lab import ROOT
from lab.stack.process import Process, wait_for
from lab.stack.servers import RabbitMQ, Redis
from lab.stack.system import Stack

DEADLINE_SECONDS = 450.0


class Demo:
    """One run, with a temporary directory of its own so that what it leaves behind is seen."""

    def __init__(self, directory: Path) -> None:
        self.files = directory / "files"
        self.files.mkdir()
        self._log_path = directory / "output"
        self._process: Process | None = None

    def start(self, *arguments: str, env: Mapping[str, str] | None = None) -> Process:
        self._process = Process(
            # What was started in the background ignores Ctrl-C, and so would the demo.
            ["env", "--default-signal=INT", sys.executable, "-m", "lab.demo", *arguments],
            env={"TMPDIR": str(self.files), **(env or {})},
            cwd=ROOT,
            log_path=self._log_path,
        )
        self._process.start()
        return self._process

    def run(self, *arguments: str, env: Mapping[str, str] | None = None) -> int | None:
        process = self.start(*arguments, env=env)
        wait_for(lambda: not process.alive, DEADLINE_SECONDS, "the end of the demo")
        return process.exit_code

    @property
    def output(self) -> str:
        return self._log_path.read_text()

    def left_behind(self) -> list[str]:
        """Its files, and the command lines of processes that were started with its directory."""
        mark = f"TMPDIR={self.files}".encode()
        running = [
            (process / "cmdline").read_text()
            for process in Path("/proc").glob("[0-9]*")
            if mark in _environment(process)
        ]
        return running + [str(path) for path in self.files.iterdir()]

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()


def _environment(process: Path) -> bytes:
    try:
        return (process / "environ").read_bytes()
    except OSError:
        return b""  # ended meanwhile, or another user's


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    demo = Demo(tmp_path)
    yield demo
    demo.kill()


def test_embedded_it_stays_up_until_it_is_interrupted(demo: Demo) -> None:
    process = demo.start("--embedded")
    wait_for(lambda: "status=enrolled" in demo.output, DEADLINE_SECONDS, "the walk-through", process)
    if shutil.which("curl"):
        request = demo.output.partition("carol may not:\n")[2]
        answer = subprocess.run(["sh", "-c", request], capture_output=True, text=True, check=True).stdout
        assert answer.startswith("HTTP/1.1 200")
    os.kill(process.pid, signal.SIGINT)
    wait_for(lambda: not process.alive, DEADLINE_SECONDS, "the end of the demo")
    assert process.exit_code == 0
    assert demo.left_behind() == []
    assert "cached, event-fed    0 calls" in demo.output
    assert "request-based       50 calls" in demo.output
    assert "because   this needs students.change_student" in demo.output
    assert "would_refuse 1  PATCH /students/{id}/" in demo.output


def test_with_named_servers_it_checks_and_ends(demo: Demo, redis_server: Redis, rabbitmq: RabbitMQ) -> None:
    named = {"DEMO_REDIS_URL": redis_server.url, "DEMO_AMQP_URL": rabbitmq.add_virtual_host("demo")}
    assert demo.run("--check", env=named) == 0, demo.output
    assert demo.left_behind() == []
    assert "ms after the revoking answer" in demo.output


def test_against_a_running_system(demo: Demo, system: Stack) -> None:
    urls = (system.user_service.url, system.sidecar.url, system.sidecar.admin_url)
    password = {"DEMO_PASSWORD": system.user_service.password}
    assert demo.run("--against", *urls, env=password) == 0, demo.output
    assert "skipped: it is not ours to stop" in demo.output


@pytest.mark.parametrize(
    ("password", "message"),
    [("", "DEMO_PASSWORD"), ("wrong", "signing in as admin: expected 200, was answered 401")],
)
def test_what_is_missing_is_named(demo: Demo, system: Stack, password: str, message: str) -> None:
    urls = (system.user_service.url, system.sidecar.url, system.sidecar.admin_url)
    assert demo.run("--against", *urls, env={"DEMO_PASSWORD": password}) == 1
    assert "FAILED: " in demo.output
    assert message in demo.output
    assert "Traceback" not in demo.output


def test_interrupted_while_it_starts_it_leaves_nothing(demo: Demo) -> None:
    process = demo.start("--embedded")
    wait_for(lambda: "student-service" in demo.output, DEADLINE_SECONDS, "its start", process)
    os.kill(process.pid, signal.SIGTERM)
    wait_for(lambda: not process.alive, DEADLINE_SECONDS, "the end of the demo")
    assert process.exit_code == 128 + signal.SIGTERM
    assert demo.left_behind() == []
