"""One sidecar, the whole program, while everything it depends on is away."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from lab import DEADLINE
from lab.stack.process import Process, free_port, wait_for

POLICY = "version: 1\nrules:\n  - {methods: [POST], path: /open/, allow: anyone}\n"

ACTIVATED = "exec 3<&{0}; export LISTEN_FDS=1 LISTEN_PID=$$;"
"""What systemd's socket activation does, in a shell's words: sd_listen_fds(3)."""


class Alone:
    """A sidecar that is started at once. Its files are in `directory`, its settings without `AUTHZ_`."""

    def __init__(
        self,
        upstream: str,
        directory: Path,
        redirections: str = "",
        listen: str = "127.0.0.1:{0}",
        activated: socket.socket | None = None,
        policy_text: str = POLICY,
        **settings: object,
    ) -> None:
        """`redirections`: of the shell, for streams that are not to go to the log file.

        `listen`: where, with `{0}` for the port. `activated`: bound already, as systemd hands it over.
        """
        self.port = free_port() if activated is None else activated.getsockname()[1]
        self.admin_port = free_port()
        self.user_service_port = free_port()
        policy = directory / "policy.yaml"
        policy.write_text(policy_text)
        env = {
            "AUTHZ_LISTEN": listen.format(self.port),
            "AUTHZ_ADMIN_LISTEN": listen.format(self.admin_port),
            "AUTHZ_UPSTREAM": upstream,
            "AUTHZ_USER_SERVICE": f"http://127.0.0.1:{self.user_service_port}",
            "AUTHZ_SERVICE_TOKEN": "token",
            "AUTHZ_POLICY": str(policy),
            "AUTHZ_JWT_ISSUER": "issuer",
            "AUTHZ_JWT_AUDIENCE": "audience",
            **{f"AUTHZ_{name}": str(value) for name, value in settings.items()},
        }
        self.process = _process(
            redirections, activated, env={**os.environ, **env}, log_path=directory / "log"
        )
        self.process.start()

    def ready(self) -> None:
        """Wait until it takes requests."""
        wait_for(self._accepts, DEADLINE, "the sidecar", self.process)

    def _accepts(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE):
            return True
        return False

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.process.pid, number)

    def admin(self, path: str) -> str:
        """The answer's body."""
        return self.asked("GET", path)[1]

    def asked(self, method: str, path: str, token: str = "") -> tuple[int, str]:
        """Status and body of the admin port's answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=DEADLINE)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            connection.request(method, path, headers=headers)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def counted(self, metric: str) -> float:
        """The value of a metric without labels."""
        lines = self.admin("/metrics").splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith(f"{metric} "))

    def lines(self, **wanted: object) -> list[dict[str, Any]]:
        """What it has logged so far, of the lines that have these fields."""
        lines = map(json.loads, self.process.log_path.read_text().splitlines())
        return [line for line in lines if wanted.items() <= line.items()]


def _process(redirections: str, activated: socket.socket | None, **options: Any) -> Process:
    handed = [] if activated is None else [activated.fileno()]
    before = "".join(map(ACTIVATED.format, handed))
    program = [sys.executable, "-m", "authz_sidecar", "run"]
    return Process(
        ["bash", "-c", f'{before} exec "$@" {redirections}', "bash", *program], handed=handed, **options
    )
