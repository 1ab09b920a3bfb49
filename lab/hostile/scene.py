"""What the clients are let at: a sidecar, the same with TLS, and what both need."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Self

from lab import ROOT
from lab.hostile.clients import Order, Tally
from lab.hostile.honest import Honest
from lab.stack.client import People
from lab.stack.daemon import Daemon
from lab.stack.process import Process
from lab.stack.services import Sidecar, UserService
from lab.wire.certificates import self_signed

POLICY: Final = """
version: 1
rules:
  - {methods: [PATCH], path: "/students/{id}/", permission: students.change_student}
  - {methods: [POST], path: /students/, permission: students.add_student}
  - {methods: [POST], path: "/open/{rest:path}", allow: anyone}
  - {methods: [GET], path: "/socket/{number}", allow: anyone}
"""


class Upstream(Daemon):
    """The service behind both."""

    name = "upstream"

    def make_process(self) -> Process:
        argv = [sys.executable, "-m", "lab.hostile.upstream", str(self.port)]
        return Process(argv, cwd=ROOT, log_path=self.log_path)


class Scene:
    """Starts everything on entering, and ends it on leaving."""

    def __init__(self, connections: int) -> None:
        """`connections`: AUTHZ_MAX_CONNECTIONS."""
        self._connections = connections
        self._exits = ExitStack()
        self.sidecar: Sidecar
        self._tls: Sidecar
        self._people: People
        self._clients: subprocess.Popen[str]

    def __enter__(self) -> Self:
        with ExitStack() as exits:
            directory = Path(exits.enter_context(TemporaryDirectory(prefix="hostile-")))
            user_service = exits.enter_context(UserService())
            upstream = exits.enter_context(Upstream())
            self.sidecar = Sidecar(user_service, f"http://{upstream.address}", self._settings(directory))
            exits.enter_context(self.sidecar)
            self._tls = Sidecar(user_service, f"http://{upstream.address}", self._with_tls(directory))
            exits.enter_context(self._tls)
            self._people = People(user_service.url, user_service.password)
            argv = [sys.executable, "-m", "lab.hostile.clients", str(self.sidecar.port), str(self._tls.port)]
            self._clients = exits.enter_context(
                subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
            exits.callback(self._clients.kill)
            self._exits = exits.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._exits.close()

    def _settings(self, directory: Path) -> dict[str, str]:
        (directory / "policy.yaml").write_text(POLICY)
        return {
            "AUTHZ_POLICY": str(directory / "policy.yaml"),
            "AUTHZ_MAX_CONNECTIONS": str(self._connections),
        }

    def _with_tls(self, directory: Path) -> dict[str, str]:
        certificate, key = self_signed()
        (directory / "certificate.pem").write_bytes(certificate)
        (directory / "key.pem").write_bytes(key)
        return {
            **self._settings(directory),
            "AUTHZ_TLS_CERT": str(directory / "certificate.pem"),
            "AUTHZ_TLS_KEY": str(directory / "key.pem"),
        }

    @property
    def processes(self) -> tuple[Process, Process]:
        """Those of the two sidecars."""
        return self.sidecar.process, self._tls.process

    def honest(self) -> Honest:
        """Clients who may do what they do."""
        admin_port = int(self.sidecar.admin_url.rpartition(":")[2])
        return Honest(self.sidecar.port, admin_port, self._people.token("bob"))

    def attack(self, order: Order) -> Tally:
        """A wave of clients, until they have left."""
        stdin, stdout = self._clients.stdin, self._clients.stdout
        assert stdin is not None  # noqa: S101 (it was asked for)
        assert stdout is not None  # noqa: S101 (it was asked for)
        print(json.dumps(asdict(order)), file=stdin, flush=True)
        return Tally(**json.loads(stdout.readline()))
