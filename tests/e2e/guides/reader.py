"""Whoever follows a guide: writes its files, runs its commands, and starts what it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from shutil import copytree, ignore_patterns
from types import MappingProxyType

from lab import DEADLINE, ROOT
from lab.stack.client import call
from lab.stack.gateways import Nginx
from lab.stack.pages import Page
from lab.stack.process import Process, free_port, wait_for
from lab.stack.services import UserService

HERE = Path(__file__).parent
SERVICE, SIDECAR, ADMIN, USERS = (
    "127.0.0.1:8001",
    "127.0.0.1:8080",
    "127.0.0.1:9901",
    "https://users.example.org",
)
"""Where the guides say that things are."""


class Reader:
    """Somebody in a folder of their own, beside a User service, with a page."""

    def __init__(
        self,
        name: str,
        users: UserService,
        folder: Path,
        service: str,
        places: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """`service`: host and port where the protected service is, or will be; `places`: further ones."""
        self.folder = folder
        self.address, self.admin = (f"127.0.0.1:{free_port()}" for _ in range(2))
        self._places = {SERVICE: service, SIDECAR: self.address, ADMIN: self.admin, USERS: users.url}
        self._places |= {"--port 8001": f"--port {service.rpartition(':')[2]}", **places}
        self.page = Page(f"guides/{name}", self._places)
        self.env = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("AUTHZ_", "DJANGO_"))},
            **{
                key: value for key, value in users.env.items() if key != "AUTHZ_SUBJECT"
            },  # as it is by default
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": f"{folder}:{os.environ.get('PYTHONPATH', '')}:{ROOT}",
            "GUNICORN_CMD_ARGS": "--no-control-socket",  # it would be one for all, in the home directory
            "PASSWORD": users.password,
            "AUTHZ_LISTEN": self.address,
            "AUTHZ_ADMIN_LISTEN": self.admin,
        }
        copytree(HERE / "mysite", folder / "mysite", ignore=ignore_patterns("__pycache__"))
        (folder / "manage.py").symlink_to(UserService.root / "manage.py")
        (folder / "token").write_text(users.service_token)

    def writes(self, block: str) -> None:
        """A block that begins with a file's name goes into that file, after what is there."""
        (name,) = re.findall(r"\A(?:#|//) (\S+)\n", block)
        with (self.folder / name).open("a") as file:
            file.write(block)

    def people(self, key: int, name: str) -> None:
        """The service's own tables, and one user whose password is `secret`."""
        self.runs(f"python -m mysite.people {key} {name} secret")

    def runs(self, block: str, **more: str) -> str:
        """What a block of shell commands prints, each of which has to succeed."""
        done = subprocess.run(
            ["sh", "-ec", block],
            cwd=self.folder,
            env={**self.env, **more},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{block}\n{done.stdout}"
        return done.stdout

    @contextmanager
    def serving(self, block: str, ready: str, **more: str) -> Iterator[None]:
        """A block that starts a server, which is asked at `ready` until it answers."""
        log = self.folder / f"{free_port()}.log"
        process = Process(["sh", "-ec", block], env={**self.env, **more}, cwd=self.folder, log_path=log)
        process.start()
        try:
            wait_for(lambda: _answers(ready), DEADLINE, block, process)
            yield
        finally:
            process.stop()

    def configures(self, *more: str) -> None:
        """The policy and the settings of the first guide, with these blocks besides."""
        for name in ("policy.yaml", "sidecar.env"):
            (self.folder / name).unlink(missing_ok=True)
        for block in (self.first("yaml"), self.first("sh", "# sidecar.env"), *more):
            self.writes(block)

    @contextmanager
    def sidecar(self, *more: str) -> Iterator[str]:
        """The one of the first guide, with these blocks besides; its address."""
        self.configures(*more)
        with self.serving(self.first("sh", "authz-sidecar run"), f"http://{self.admin}/readyz?fresh"):
            yield f"http://{self.address}"

    @contextmanager
    def service(self) -> Iterator[None]:
        """The one of the first guide, as it is in this folder."""
        ready = f"http://{self._places[SERVICE]}/"
        with self.serving(self.first("sh", "gunicorn"), ready):
            yield

    def first(self, language: str, containing: str = "") -> str:
        """A block of the first guide, on which the others build."""
        return Page("guides/django-api", self._places).take(language, containing)


@contextmanager
def served(server: str, users: UserService, folder: Path) -> Iterator[str]:
    """Host and port of the service, started by the block of the first guide that names this server."""
    address = f"127.0.0.1:{free_port()}"
    somebody = Reader("django-api", users, folder, address)
    with somebody.serving(somebody.page.take("sh", server), f"http://{address}/"):
        yield address


class Given(Nginx):
    """nginx with a configuration of a guide, whose certificate lies in `folder`."""

    def __init__(self, given: str, folder: Path) -> None:
        super().__init__("", "")
        self._given = given.replace("listen 443", f"listen {self.address}").replace("/etc/ssl", str(folder))

    def configuration(self) -> str:
        return self._given


def _answers(url: str) -> bool:
    return call(url).status < HTTPStatus.INTERNAL_SERVER_ERROR
