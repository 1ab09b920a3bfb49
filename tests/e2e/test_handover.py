"""A newer version takes the place of an older one under load, and no request notices."""

from __future__ import annotations

import os
import socket
import stat
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from lab import DEADLINE
from lab.stack.client import People
from lab.stack.crowd import Crowd
from lab.stack.process import Process, free_port, wait_for
from lab.stack.services import Sidecar
from lab.stack.system import Stack

SUCCESSORS = (2, 2, 1)
"""Workers of each; the first has one."""
GRANT = "students.change_student"
NO_TOKEN = {"AUTHZ_SERVICE_TOKEN": "no-such-token"}
LIVEZ = ("GET", "/livez", None)
OTHER_PORTS = ("AUTHZ_ADMIN_LISTEN", "AUTHZ_DECISIONS_LISTEN")


@pytest.fixture
def older(system: Stack, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Sidecar]:
    """With as many workers as the test asks for."""
    env = {
        **{name: system.sidecar.env[name] for name in ("AUTHZ_REDIS_URL", "AUTHZ_REDIS_PREFIX")},
        "AUTHZ_HANDOVER": str(tmp_path / "handover.sock"),
        "AUTHZ_WORKERS": str(getattr(request, "param", 1)),
        "AUTHZ_DECISIONS_LISTEN": f"127.0.0.1:{free_port()}",
    }
    with Sidecar(system.user_service, system.student_service.url, env) as sidecar:
        wait_for(Path(env["AUTHZ_HANDOVER"]).exists, DEADLINE, "the path of the hand-over")
        yield sidecar


def port(sidecar: Sidecar, variable: str) -> int:
    return int(sidecar.env[variable].rpartition(":")[2])


def newer(older: Sidecar, log_path: Path, **env: str) -> Process:
    argv = [sys.executable, "-m", "authz_sidecar", "run"]
    process = Process(argv, env={**older.env, **env}, cwd=older.directory, log_path=log_path)
    process.start()
    return process


def ended(older: Process, newer: Process) -> None:
    wait_for(lambda: not older.alive, DEADLINE, "the end of the older one", newer)


def test_no_request_notices(older: Sidecar, people: People, tmp_path: Path) -> None:
    """On any port, whether its connection is kept or new, with however many workers."""
    people.grant(people.new_user("handed"), GRANT).demand("a grant", 200)
    with ExitStack() as exits:
        crowd = Crowd(older.port, people.token("handed"))
        exits.callback(crowd.stop)
        others = [Crowd(port(older, name), "", LIVEZ, clients=1) for name in OTHER_PORTS]
        for each in others:
            exits.callback(each.stop)
        running = older.process
        for number, workers in enumerate(SUCCESSORS):
            successor = newer(older, tmp_path / f"{number}.log", AUTHZ_WORKERS=str(workers))
            exits.callback(successor.stop)
            ended(running, successor)
            assert running.exit_code == 0
            running = successor
        statuses = crowd.stop()
        answered = {status for each in others for status in each.stop()}
        exits.pop_all().close()
    assert set(statuses) == {404}, "the student that is changed does not exist, and the service says so"
    assert answered == {200}
    assert not Path(older.env["AUTHZ_HANDOVER"]).exists(), "the last one takes the path away"


def test_only_our_own_user_may_take_the_sockets(older: Sidecar) -> None:
    assert stat.S_IMODE(os.stat(older.env["AUTHZ_HANDOVER"]).st_mode) == 0o600


FAILING = {
    1: [
        (NO_TOKEN, "AUTHZ_HANDOVER_TIMEOUT: not live within 1 s"),
        ({"AUTHZ_POLICY": "/does/not/exist.yaml"}, "/does/not/exist.yaml: cannot be read"),
    ],
    2: [
        ({**NO_TOKEN, "AUTHZ_WORKERS": "3"}, "AUTHZ_HANDOVER_TIMEOUT: not live within 1 s"),
        ({"AUTHZ_ADMIN_LISTEN": "127.0.0.1:1"}, "AUTHZ_LISTEN: no setting names 127.0.0.1:"),
    ],
}
"""By the workers of the older one: what is set for newer ones, and what they say."""


@pytest.mark.parametrize(("older", "failing"), FAILING.items(), indirect=["older"])
def test_the_older_one_goes_on_without_a_newer_that_fails(
    older: Sidecar, tmp_path: Path, failing: list[tuple[dict[str, str], str]]
) -> None:
    private = {"AUTHZ_REDIS_URL": "", "AUTHZ_REDIS_PREFIX": ""}  # it finds no copy that it could start with
    for number, (env, told) in enumerate(failing):
        log_path = tmp_path / f"{number}.log"
        bad = newer(older, log_path, AUTHZ_HANDOVER_TIMEOUT="1", **private, **env)
        wait_for(lambda: not bad.alive, DEADLINE, "the end of the newer one")  # noqa: B023 (called at once)
        assert bad.exit_code == 2
        assert told in log_path.read_text()
        assert older.process.alive
        assert older.ready()
    good = newer(older, tmp_path / "good.log")
    try:
        ended(older.process, good)
    finally:
        good.stop()


def test_what_is_no_sidecar_hands_nothing_over(older: Sidecar, tmp_path: Path) -> None:
    path = tmp_path / "mute.sock"
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(str(path))
        mute.listen()
        successor = newer(older, tmp_path / "newer.log", AUTHZ_HANDOVER=str(path))
        wait_for(lambda: not successor.alive, DEADLINE, "the end of the newer one")
    assert successor.exit_code == 2
    assert (
        f"AUTHZ_HANDOVER: cannot be used: {path}: it does not answer" in (tmp_path / "newer.log").read_text()
    )
    assert older.process.alive
