"""Traefik: forwarding, and asking an authorization service (ForwardAuth)."""

from __future__ import annotations

import json
import sysconfig
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any

from lab.bench.host import first_line
from lab.bench.peers.base import Peer, Work
from lab.stack.client import call

PROGRAM = Path(sysconfig.get_path("scripts")) / "traefik"


class Traefik(Peer):
    name = "traefik"
    title = "Traefik"
    work = Work.NOTHING

    def prepare(self) -> None:
        # JSON is YAML.
        static = {
            "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
            "log": {"level": "ERROR"},
            "entryPoints": {"proxied": {"address": self.address}},
            "providers": {"file": {"filename": str(self.directory / "dynamic.yaml"), "watch": False}},
        }
        router = {"entryPoints": ["proxied"], "rule": "PathPrefix(`/`)", "service": "protected"}
        middlewares = self.middlewares()
        servers = {"loadBalancer": {"servers": [{"url": f"http://{self.site.upstream}"}]}}
        http: dict[str, Any] = {
            "routers": {"all": {**router, "middlewares": list(middlewares)}},
            "services": {"protected": servers},
        }
        if middlewares:
            http["middlewares"] = middlewares
        (self.directory / "traefik.yaml").write_text(json.dumps(static))
        (self.directory / "dynamic.yaml").write_text(json.dumps({"http": http}))

    def middlewares(self) -> Mapping[str, Any]:
        return {}

    def argv(self) -> Sequence[str | Path]:
        return [PROGRAM, f"--configFile={self.directory / 'traefik.yaml'}"]

    def ready(self) -> bool:
        """It listens before it has routes, and answers 404 until then."""
        return call(f"http://{self.address}/").status != HTTPStatus.NOT_FOUND

    def version(self) -> str:
        return first_line(PROGRAM, "version").partition(":")[2].strip()


class TraefikAsking(Traefik):
    name = "traefik-forward-auth"
    title = "Traefik, ForwardAuth"
    work = Work.ASKS

    def middlewares(self) -> Mapping[str, Any]:
        return {"ask": {"forwardAuth": {"address": f"http://{self.site.authorizer}/"}}}
