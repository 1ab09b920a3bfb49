"""Everything around the proxies: upstream, User service, its database and broker, users and tokens."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.request import urlopen

import jwt
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from lab import ROOT
from lab.bench.authorizer import HEALTH_PATH
from lab.bench.host import Cores
from lab.bench.peers.base import Issuer, Site
from lab.bench.upstream import Echo
from lab.stack.daemon import Daemon
from lab.stack.process import Process, StackError
from lab.stack.servers import PostgreSQL, RabbitMQ, Redis
from lab.stack.services import Relay, Service, UserService

D = TypeVar("D", bound=Daemon)

AUDIENCE = "student-service"
TOKEN_SECONDS = 6 * 3600


@dataclass(frozen=True)
class Tokens:
    """Access tokens by what should come of them."""

    subjects: list[str]
    allowed: list[str]
    forbidden: str
    foreign: str
    """For another audience."""
    expired: str

    @property
    def forged(self) -> str:
        """One whose signature is no longer that of its contents."""
        head, _, signature = self.allowed[0].rpartition(".")
        changed = "A" if signature[10] != "A" else "B"
        return f"{head}.{signature[:10]}{changed}{signature[11:]}"


class AuthorizerService(Service):
    name = "authorizer"

    def __init__(self, user_service: UserService, public_key_path: Path) -> None:
        super().__init__()
        self.env = {"AUTHZ_SERVICE_TOKEN": user_service.service_token}
        issuer = user_service.env["AUTH_ISSUER"]
        self._arguments = [user_service.url, issuer, AUDIENCE, str(public_key_path)]

    @property
    def health_url(self) -> str:
        return f"{self.url}{HEALTH_PATH}"

    def make_process(self) -> Process:
        argv = [sys.executable, "-m", "lab.bench.authorizer", str(self.port), *self._arguments]
        return Process(argv, env=self.env, cwd=ROOT, log_path=self.log_path)


class World:
    """Starts it all on entering. Embedded: SQLite, no broker, no Redis."""

    def __init__(
        self, cores: Cores, *, users: int, embedded: bool, starting: Callable[[str], object] = lambda _: None
    ) -> None:
        self.cores = cores
        self._users = users
        self._embedded = embedded
        self._starting = starting
        self._exits = ExitStack()
        self.sidecar_env: dict[str, str] = {}
        """Where a sidecar finds Redis and the broker."""
        self.user_service: UserService
        self.echo: Echo
        self.tokens: Tokens
        self.site: Site

    def __enter__(self) -> Self:
        with ExitStack() as exits:
            self._exits = exits
            self.echo = self.enter(Echo())
            self._start_user_service()
            self.tokens = Tokens(**_seed(self.user_service, self._users))
            self.site = self._make_site()
            self._exits = exits.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._exits.close()

    def enter(self, part: D) -> D:
        """Starts a part, which ends with the rest."""
        self._starting(part.name)
        self._exits.enter_context(part)
        return part

    @property
    def tokens_path(self) -> Path:
        """The allowed ones, one a line."""
        return self.echo.directory / "tokens"

    def _start_user_service(self) -> None:
        env = {"AUTH_ACCESS_TOKEN_SECONDS": str(TOKEN_SECONDS)}
        if self._embedded:
            self.user_service = self.enter(UserService(env=env))
            return
        database, broker, redis = self.enter(PostgreSQL()), self.enter(RabbitMQ()), self.enter(Redis())
        self.user_service = self.enter(UserService(database.create_database("users"), env))
        self.enter(Relay(self.user_service, broker.url))
        self.sidecar_env = {"AUTHZ_REDIS_URL": redis.url, "AUTHZ_AMQP_URL": broker.url}

    def _make_site(self) -> Site:
        self.tokens_path.write_text("\n".join(self.tokens.allowed) + "\n")
        issuer = _issuer(self.user_service, self.echo.directory)
        authorizer = self.enter(AuthorizerService(self.user_service, issuer.public_key_path))
        return Site(
            cores=self.cores,
            upstream=self.echo.address,
            authorizer=authorizer.address,
            issuer=issuer,
            subjects=self.tokens.subjects,
        )


@contextmanager
def django_script(user_service: UserService, name: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a program of this directory inside the User service's Django project; it ends with the block."""
    process = subprocess.Popen(
        [sys.executable, Path(__file__).with_name(name), *arguments],
        cwd=user_service.root,
        env={
            **os.environ,
            **user_service.env,
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "PYTHONPATH": str(user_service.root),
        },
        stdout=subprocess.PIPE,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()  # which does nothing to one that has ended


def _seed(user_service: UserService, users: int) -> Mapping[str, Any]:
    with django_script(user_service, "seed.py", str(users)) as process:
        output, _ = process.communicate()
    if process.returncode:
        raise StackError("the User service could not be filled")
    made: dict[str, Any] = json.loads(output)
    return made


def _issuer(user_service: UserService, directory: Path) -> Issuer:
    """The User service's key as files, for proxies that read such."""
    with urlopen(f"{user_service.url}/.well-known/jwks.json", timeout=5) as answer:  # noqa: S310 (ours)
        published = answer.read()
    jwks_path, public_key_path = directory / "jwks.json", directory / "public.pem"
    jwks_path.write_bytes(published)
    key = jwt.PyJWKSet.from_json(published.decode()).keys[0].key
    public_key_path.write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return Issuer(user_service.env["AUTH_ISSUER"], AUDIENCE, public_key_path, jwks_path)
