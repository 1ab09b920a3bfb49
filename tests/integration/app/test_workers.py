"""One sidecar of several processes: whichever of them ends, requests are decided and answered."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from lab import DEADLINE, tiny_user_service
from lab.stack.alone import Alone
from lab.stack.client import Client, call
from lab.stack.crowd import Crowd
from lab.stack.process import wait_for
from lab.tiny_user_service import Log

WORKERS = 2
LABEL = "students.change_student"
RULE = f"version: 1\nrules:\n  - {{methods: [PATCH], path: '/students/{{id}}/', permission: {LABEL}}}\n"
GRANTED = 'authz_decisions_total{code="granted",enforced="true"}'
KEY = Ed25519PrivateKey.generate()


class Service(BaseHTTPRequestHandler):
    """The protected service, which knows no student, and the keys."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        jwk = json.loads(jwt.algorithms.OKPAlgorithm.to_jwk(KEY.public_key()))
        self._send(200, json.dumps({"keys": [{**jwk, "kid": "a", "alg": "EdDSA"}]}).encode())

    def do_PATCH(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._send(404, b"")

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """It tells nothing."""


@contextmanager
def serving(server: ThreadingHTTPServer) -> Iterator[ThreadingHTTPServer]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Sidecar(Alone):
    """With a User service of which only the log of changes is used."""

    log: Log

    @property
    def status(self) -> dict[str, Any]:
        return dict(json.loads(self.admin("/status")))

    @property
    def workers(self) -> list[dict[str, Any]]:
        return list(self.status["workers"])

    @property
    def follower(self) -> int:
        """Its process: the only one that is no worker's."""
        (found,) = set(self.process.pids()[1:]) - {each["pid"] for each in self.workers}
        return found

    @property
    def policy(self) -> Path:
        return self.process.log_path.with_name("policy.yaml")

    def grant(self, subject: str, *labels: str) -> None:
        state = {"active": True, "superuser": False, "groups": [], "token_generation": 0}
        self.log.put("user", subject, {**state, "permissions": list(labels)})

    def token(self, subject: str) -> str:
        now = int(time.time())
        claims = {
            "iss": "issuer",
            "aud": "audience",
            "sub": subject,
            "iat": now,
            "exp": now + 600,
            "jti": "1",
        }
        return jwt.encode({**claims, "authz_gen": 0}, KEY, "EdDSA", {"kid": "a", "typ": "at+jwt"})

    def change(self, token: str, client: Client | None = None) -> int:
        if client is None:
            return call(f"http://127.0.0.1:{self.port}/students/3/", "PATCH", token=token, data={}).status
        return client.send("PATCH", "/students/3/", token=token, data={}).status

    def exported(self, series: str) -> float:
        return next(
            float(line.rpartition(" ")[2])
            for line in self.admin("/metrics").splitlines()
            if line.startswith(f"{series} ")
        )

    def ready(self) -> None:
        wait_for(self.is_whole, DEADLINE, "the sidecar", self.process)

    def is_whole(self) -> bool:
        try:
            status = self.status
        except OSError:
            return False
        return bool(status["replica"]["fresh"]) and len(status["workers"]) == WORKERS

    def ends(self, pid: int, number: signal.Signals) -> None:
        """Until another is in its place."""
        os.kill(pid, number)
        wait_for(lambda: pid not in self.process.pids(), DEADLINE, "the end of a process", self.process)
        wait_for(self.is_whole, DEADLINE, "another process in its place", self.process)


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    directory = tmp_path_factory.mktemp("workers")
    users = tiny_user_service.server(0, "token")
    with serving(users), serving(ThreadingHTTPServer(("127.0.0.1", 0), Service)) as service:
        url = f"http://127.0.0.1:{service.server_address[1]}"
        settings: dict[str, Any] = {
            "USER_SERVICE": f"http://127.0.0.1:{users.server_address[1]}",
            "JWKS_URL": f"{url}/jwks.json",
            "WORKERS": WORKERS,
            "RELOAD_INTERVAL": 0,
            "FEED_INTERVAL": 0.1,
        }
        program = Sidecar(url, directory, policy_text=RULE, **settings)
        program.log = users.RequestHandlerClass.log  # type: ignore[attr-defined]  # the handler has it
        try:
            program.ready()
            yield program
        finally:
            program.process.stop()


@pytest.fixture
def token(sidecar: Sidecar) -> str:
    sidecar.grant("3", LABEL)
    return sidecar.token("3")


def test_no_request_notices_what_becomes_of_the_follower(sidecar: Sidecar, token: str) -> None:
    with ExitStack() as exits:
        crowd = Crowd(sidecar.port, token)
        exits.callback(crowd.stop)
        for number in (signal.SIGKILL, signal.SIGSTOP):
            sidecar.ends(sidecar.follower, number)
        sidecar.policy.write_text(f"{RULE}# and no more\n")
        sidecar.signal(signal.SIGHUP)
        wait_for(lambda: sidecar.lines(message="reloaded"), DEADLINE, "the reload", sidecar.process)
        statuses = crowd.stop()
        exits.pop_all()
    assert sidecar.status["reload"]["problems"] == []
    assert set(statuses) == {404}, "the student that is changed does not exist, and the service says so"
    assert sidecar.exported(GRANTED) == len(statuses)
    assert sidecar.exported("authz_workers") == WORKERS


def test_a_revocation_takes_effect_in_all_workers(sidecar: Sidecar) -> None:
    sidecar.grant("4", LABEL)
    token = sidecar.token("4")
    with ExitStack() as exits:
        url = f"http://127.0.0.1:{sidecar.port}"
        clients = [exits.enter_context(closing(Client(url))) for _ in range(4 * WORKERS)]
        for client in clients:
            wait_for(lambda each=client: sidecar.change(token, each) == 404, DEADLINE, "the grant")  # type: ignore[misc]  # bound now
        assert all(each["connections"] for each in sidecar.workers), "each has some of them"
        sidecar.grant("4")
        for client in clients:
            wait_for(lambda each=client: sidecar.change(token, each) == 403, DEADLINE, "the revocation")  # type: ignore[misc]  # bound now


def test_a_worker_is_replaced_and_what_it_has_counted_stays(sidecar: Sidecar, token: str) -> None:
    before = sidecar.exported(GRANTED)
    assert [sidecar.change(token) for _ in range(8)] == [404] * 8
    assert sidecar.exported(GRANTED) == before + 8
    sidecar.ends(sidecar.workers[0]["pid"], signal.SIGKILL)
    assert [sidecar.change(token) for _ in range(8)] == [404] * 8
    assert sidecar.exported(GRANTED) == before + 16
    told = "worker 1 starts: the one before was ended by SIGKILL"
    wait_for(lambda: sidecar.lines(message=told), DEADLINE, "what the log tells of it", sidecar.process)


def test_what_is_rejected_changes_no_worker_not_even_a_new_one(sidecar: Sidecar, token: str) -> None:
    sidecar.policy.write_text("version: 1\nrules: none\n")
    sidecar.signal(signal.SIGHUP)
    wait_for(lambda: not sidecar.status["reload"]["accepted"], DEADLINE, "the reload", sidecar.process)
    sidecar.ends(sidecar.workers[0]["pid"], signal.SIGKILL)
    assert [sidecar.change(token) for _ in range(8)] == [404] * 8
    sidecar.policy.write_text(RULE)


def test_it_ends_with_all_of_its_processes(sidecar: Sidecar) -> None:
    pids = sidecar.process.pids()
    sidecar.signal(signal.SIGTERM)
    wait_for(lambda: not sidecar.process.alive, DEADLINE, "its end", sidecar.process)
    assert sidecar.process.exit_code == 0
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
