"""The system's own programs, each run as in production: the two Django services, relay and sidecar."""

from __future__ import annotations

import secrets
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Self
from urllib.request import urlopen

from lab import ROOT
from lab.stack.daemon import Daemon
from lab.stack.process import Process, free_port, run

POLICY = ROOT / "compose" / "policy.yaml"
ACCESS_LOG_FORMAT = "%(m)s %(U)s %(s)s"


class Service(Daemon):
    """A program that serves HTTP and says at a path whether it is ready."""

    env: Mapping[str, str]
    """Settings that its program reads; they win over those of this process."""

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    @property
    def health_url(self) -> str:
        return f"{self.url}/readyz"

    def ready(self) -> bool:
        with urlopen(self.health_url, timeout=5) as answer:  # noqa: S310 (an address of ours)
            return bool(answer.status == 200)


class DjangoService(Service):
    """A Django project under gunicorn, with threads so that connections are kept alive."""

    root: ClassVar[Path]

    def __init__(self, database_url: str | None = None, env: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self.access_log_path = self.directory / "access.log"
        self.env = {
            "DATABASE_URL": database_url or f"sqlite:///{self.directory / 'db.sqlite3'}",
            "DJANGO_SECRET_KEY": secrets.token_hex(32),
            "DJANGO_ALLOWED_HOSTS": "127.0.0.1,localhost",
            **self.own_env(),
            **(env or {}),
        }

    def own_env(self) -> Mapping[str, str]:
        return {}

    def make_process(self) -> Process:
        argv = [
            *(sys.executable, "-m", "gunicorn", "config.wsgi", "--bind", self.address),
            *("--worker-class", "gthread", "--threads", "4", "--keep-alive", "75", "--graceful-timeout", "2"),
            "--no-control-socket",  # it would be one for all, in the home directory
            *("--access-logfile", str(self.access_log_path), "--access-logformat", ACCESS_LOG_FORMAT),
        ]
        return Process(argv, env=self.env, cwd=self.root, log_path=self.log_path)

    def manage(self, *command: str, database_url: str | None = None) -> str:
        """What `manage.py` prints; on another database if one is named."""
        elsewhere = {"DATABASE_URL": database_url} if database_url else {}
        argv = [sys.executable, "manage.py", *command]
        what = f"{self.name}: manage.py {command[0]}"
        return run(
            argv, what, env={**self.env, **elsewhere}, cwd=self.root, deadline=self.start_seconds
        ).strip()

    def requests(self) -> Counter[tuple[str, str]]:
        """How often each (method, path) was answered so far; the newest may be missing for an instant."""
        if not self.access_log_path.exists():
            return Counter()
        lines = self.access_log_path.read_text().splitlines()
        requests = (line.rpartition(" ")[0].partition(" ") for line in lines)
        return Counter((method, path) for method, _, path in requests)  # a path may hold spaces


class UserService(DjangoService):
    """Users and permissions, with the demo's users: admin, alice, bob, carol, who share `password`."""

    name = "user-service"
    root = ROOT / "user_service"

    def __init__(self, database_url: str | None = None, env: Mapping[str, str] | None = None) -> None:
        self.password = secrets.token_urlsafe(12)
        self.service_token = ""
        super().__init__(database_url, env)

    def own_env(self) -> Mapping[str, str]:
        return {
            "AUTH_ISSUER": self.url,
            "AUTH_KEYS_DIR": str(self.directory / "keys"),
            "AUTH_LOGIN_RATE": "",
            "DEMO_PASSWORD": self.password,
        }

    def prepare(self) -> None:
        self.manage("new_signing_key")
        self.manage("migrate", "--noinput")
        self.manage("seed_demo")
        self.service_token = self.manage("new_service_token", "sidecar")


class StudentService(DjangoService):
    """Student records; it knows nothing of permissions, tokens or sidecars."""

    name = "student-service"
    root = ROOT / "student_service"

    def own_env(self) -> Mapping[str, str]:
        return {"MEDIA_ROOT": str(self.directory / "media")}

    def prepare(self) -> None:
        self.manage("migrate", "--noinput")
        self.manage("seed_students")


class Relay(Daemon):
    """Publishes the User service's changes to RabbitMQ."""

    name = "relay"

    def __init__(self, user_service: UserService, amqp_url: str) -> None:
        super().__init__()
        self.env = {**user_service.env, "AUTHZ_AMQP_URL": amqp_url}
        self._log_size = 0

    def make_process(self) -> Process:
        argv = [sys.executable, "manage.py", "relay"]
        return Process(argv, env=self.env, cwd=UserService.root, log_path=self.log_path)

    def start(self) -> Self:
        self._log_size = self.log_path.stat().st_size if self.log_path.exists() else 0
        return super().start()

    def ready(self) -> bool:
        """It serves nothing that could be asked, but it says when it has reached the broker."""
        return b"Publishing to" in self.log_path.read_bytes()[self._log_size :]


class Sidecar(Service):
    """The product, in front of `upstream`. `env` holds further AUTHZ_* settings."""

    name = "authz-sidecar"

    def __init__(
        self, user_service: UserService, upstream: str, env: Mapping[str, str] | None = None
    ) -> None:
        super().__init__()
        self.admin_url = f"http://127.0.0.1:{free_port()}"
        self.env = {
            "AUTHZ_LISTEN": self.address,
            "AUTHZ_ADMIN_LISTEN": self.admin_url.removeprefix("http://"),
            "AUTHZ_UPSTREAM": upstream,
            "AUTHZ_USER_SERVICE": user_service.url,
            "AUTHZ_SERVICE_TOKEN": user_service.service_token,
            "AUTHZ_POLICY": str(POLICY),
            "AUTHZ_JWT_ISSUER": user_service.env["AUTH_ISSUER"],
            "AUTHZ_JWT_AUDIENCE": "student-service",
            **(env or {}),
        }

    @property
    def health_url(self) -> str:
        return f"{self.admin_url}/readyz"

    def make_process(self) -> Process:
        argv = [sys.executable, "-m", "authz_sidecar", "run"]
        return Process(argv, env=self.env, cwd=self.directory, log_path=self.log_path)
