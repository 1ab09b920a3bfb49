"""Our sidecar by default settings, with a sampled log, not compiled, asking per request, on plain aiohttp."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from authz_sidecar import __version__
from lab import ROOT
from lab.bench.host import pinned
from lab.bench.peers.base import Peer, Site, Work
from lab.stack.process import Process
from lab.stack.services import Sidecar, UserService


class SidecarPeer(Peer):
    """Stands for `Sidecar` among the peers."""

    module: ClassVar[str] = "authz_sidecar"
    settings: ClassVar[Mapping[str, str]] = {}
    environment: ClassVar[Mapping[str, str]] = {}
    """Else it imports what the bench itself would: the compiled sidecar (scripts/entry.sh)."""

    def __init__(self, site: Site, user_service: UserService, env: Mapping[str, str]) -> None:
        super().__init__(site)
        env = {
            "AUTHZ_REDIS_PREFIX": f"bench-{self.port}",
            **env,
            **self.settings,
        }
        self.sidecar = Sidecar(user_service, f"http://{site.upstream}", env)
        self.port = self.sidecar.port

    def argv(self) -> Sequence[str | Path]:
        return [sys.executable, "-m", self.module, "run"]

    def make_process(self) -> Process:
        env = {**self.sidecar.env, **self.environment}
        argv = pinned(self.site.cores, self.argv())
        return Process(argv, env=env, cwd=self.directory, log_path=self.log_path)

    def ready(self) -> bool:
        return self.sidecar.ready()

    def close(self) -> None:
        super().close()
        self.sidecar.close()

    def version(self) -> str:
        return __version__


class Cached(SidecarPeer):
    """With its default settings: metrics, and a line of the log for every decision."""

    name = "sidecar"
    title = "authz-sidecar"
    work = Work.DECIDES


class Sampled(Cached):
    name = "sidecar-sampled"
    title = "authz-sidecar, 1 % of the allows logged"
    settings: ClassVar[Mapping[str, str]] = {"AUTHZ_DECISION_LOG_SAMPLE": "0.01"}


class Interpreted(SidecarPeer):
    name = "sidecar-interpreted"
    title = "authz-sidecar, not compiled"
    work = Work.DECIDES
    environment: ClassVar[Mapping[str, str]] = {"PYTHONPATH": str(ROOT)}


class Asking(SidecarPeer):
    name = "sidecar-request"
    title = "authz-sidecar, AUTHZ_VALIDATION=request"
    work = Work.ASKS
    settings: ClassVar[Mapping[str, str]] = {"AUTHZ_VALIDATION": "request"}


class Oracle(SidecarPeer):
    name = "aiohttp"
    title = "plain aiohttp, same pipeline"
    work = Work.DECIDES
    module = "lab.oracle"
