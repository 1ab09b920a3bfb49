"""Caddy: forwarding."""

from __future__ import annotations

import json
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from lab.bench.host import first_line
from lab.bench.peers.base import Peer, Work

PROGRAM = Path(sysconfig.get_path("scripts")) / "caddy"


class Caddy(Peer):
    name = "caddy"
    title = "Caddy"
    work = Work.NOTHING

    def prepare(self) -> None:
        forward = {"handler": "reverse_proxy", "upstreams": [{"dial": self.site.upstream}]}
        server = {
            "listen": [self.address],
            "automatic_https": {"disable": True},
            "routes": [{"handle": [forward]}],
        }
        config = {
            "admin": {"disabled": True},
            "storage": {"module": "file_system", "root": str(self.directory)},
            "apps": {"http": {"servers": {"proxied": server}}},
        }
        (self.directory / "caddy.json").write_text(json.dumps(config))

    def argv(self) -> Sequence[str | Path]:
        return [PROGRAM, "run", "--config", self.directory / "caddy.json"]

    def version(self) -> str:
        return first_line(PROGRAM, "version").split()[0].removeprefix("v")
