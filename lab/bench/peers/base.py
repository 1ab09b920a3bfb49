"""What every proxy under test has in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import ClassVar

from lab.bench.host import Cores, pinned
from lab.stack.daemon import Daemon
from lab.stack.process import Process


class Work(Enum):
    """What a proxy does with a request besides passing it on."""

    NOTHING = "forwards"
    TOKEN = "verifies the token, looks the subject up"  # noqa: S105 (a description)
    ASKS = "asks per request"
    DECIDES = "full decision"

    @property
    def decides(self) -> bool:
        return self is not Work.NOTHING


@dataclass(frozen=True)
class Issuer:
    """What a proxy has to know to judge a token."""

    name: str
    audience: str
    public_key_path: Path
    jwks_path: Path


@dataclass(frozen=True)
class Site:
    """What the proxies stand in front of, and whom they ask."""

    cores: Cores
    upstream: str
    """host:port"""
    authorizer: str
    """host:port of the authorization service for proxies that cannot speak the User service's API."""
    issuer: Issuer
    subjects: Sequence[str]
    """Who may."""


class Peer(Daemon):
    """A proxy, pinned to its core. Subclasses write its configuration and say how to run it."""

    title: ClassVar[str]
    work: ClassVar[Work]

    def __init__(self, site: Site) -> None:
        super().__init__()
        self.site = site

    def argv(self) -> Sequence[str | Path]:
        raise NotImplementedError

    def version(self) -> str:
        raise NotImplementedError

    def make_process(self) -> Process:
        return Process(pinned(self.site.cores, self.argv()), log_path=self.log_path)
