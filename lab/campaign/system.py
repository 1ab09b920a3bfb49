"""The whole system as the campaign runs it: every part a process, every link a proxy."""

from __future__ import annotations

import json
import secrets
import shutil
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.request import urlopen

from lab import ROOT
from lab.campaign import population
from lab.campaign.archiver import Archiver, Position
from lab.campaign.clocks import Clock, sweep
from lab.campaign.evidence import Kill
from lab.campaign.link import Network
from lab.campaign.output import Output
from lab.campaign.tokens import Mint
from lab.stack.daemon import Daemon
from lab.stack.process import Process
from lab.stack.servers import PostgreSQL, RabbitMQ, Redis
from lab.stack.services import Relay, Sidecar, UserService

D = TypeVar("D", bound=Daemon)

MAX_STALENESS = 5.0
AUDIT_SECONDS = 20
"""In which the tables are compared with the log: short, so that a campaign sees what no mark told."""
DATABASE = "users"
KEYS = "{}/.well-known/jwks.json"


class Upstream(Daemon):
    """The protected service; no fault is injected into it."""

    name = "upstream"

    def __init__(self, received_path: Path) -> None:
        super().__init__()
        self.received_path = received_path

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def make_process(self) -> Process:
        argv = [sys.executable, "-m", "lab.campaign.upstream", str(self.port), str(self.received_path)]
        return Process(argv, cwd=ROOT, log_path=self.log_path)


class LoggedSidecar(Sidecar):
    """Its decisions go to a file of their own, its other messages to the usual one."""

    def __init__(
        self,
        user_service: UserService,
        upstream: str,
        env: Mapping[str, str],
        decisions_path: Path,
        workers: int,
    ) -> None:
        super().__init__(user_service, upstream, env)
        self.env = {
            **self.env,
            "AUTHZ_WORKERS": str(workers),
            "AUTHZ_HANDOVER": str(self.directory / "handover.sock"),
        }
        self.workers = workers
        self.decisions_path = decisions_path
        self.output = Output(decisions_path)

    def make_process(self) -> Process:
        process = super().make_process()
        process.argv[:0] = ["sh", "-c", 'exec "$@" >> "$0"', str(self.output.pipe)]
        return process

    def start(self) -> Self:
        self.output.drain()
        _drop_torn_line(self.decisions_path)
        super().start()
        return self

    def stop(self) -> None:
        super().stop()
        self.output.drain()

    def close(self) -> None:
        super().close()
        self.output.close()

    def status(self) -> dict[str, Any]:
        with urlopen(f"{self.admin_url}/status", timeout=2) as answer:  # noqa: S310 (an address of ours)
            status: dict[str, Any] = json.load(answer)
        return status

    def stands(self, since: Position, now: Position) -> bool:
        """LIVE, fresh, and on the present history, where it was at `since` or later; each worker, too.

        Raises OSError when it does not answer.
        """
        status = self.status()
        replica, workers = status["replica"], status.get("workers", [])
        live = replica["phase"] == "live" and replica["fresh"] and replica["epoch"] == now.epoch
        applied = [replica["applied"], *(each["applied"] or 0 for each in workers)]
        whole = len(workers) == (self.workers if self.workers > 1 else 0)
        return bool(live and whole and since.revision <= min(applied) and max(applied) <= now.revision)

    def worker_pids(self) -> list[int]:
        """With one worker none: one process is everything. Raises OSError when it does not answer."""
        return [each["pid"] for each in self.status().get("workers", [])]

    def follower_pid(self) -> int:
        """The only process that is neither the supervisor nor a worker."""
        (found,) = set(self.process.pids()[1:]) - set(self.worker_pids())
        return found


class System:
    """Everything under test, and everything that watches it. `sidecars`, `links` and `clocks` by name."""

    def __init__(
        self, directory: Path, *, sidecars: int, workers: int, starting: Callable[[str], object]
    ) -> None:
        """`workers`: of each sidecar."""
        self.directory = directory
        self.network = Network()
        self.postgresql = PostgreSQL()
        self.rabbitmq = RabbitMQ()
        self.redis = Redis()
        self.spare_redis = Redis()
        self.spare_redis.password = self.redis.password
        self.upstream = Upstream(directory / "received.jsonl")
        self.sidecars: dict[str, LoggedSidecar] = {}
        self.clocks: dict[str, Clock] = {}
        self.kills: list[Kill] = []
        self._sidecar_count = sidecars
        self._workers = workers
        self._starting = starting
        self._exits = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as exits:
            self._exits = exits
            exits.callback(sweep)
            exits.callback(self.network.close)
            self._start_servers()
            self._start_user_service()
            for n in range(1, self._sidecar_count + 1):
                self._start_sidecar(f"sidecar-{n}")
            self._exits = exits.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._exits.close()

    @property
    def database_url(self) -> str:
        """Past every link."""
        return self.postgresql.url_of(DATABASE)

    def _start_servers(self) -> None:
        self._enter_with_clock("postgresql", self.postgresql)
        for server in (self.rabbitmq, self.redis, self.spare_redis, self.upstream):
            self._enter(server)
        self.postgresql.create_database(DATABASE)

    def _start_user_service(self) -> None:
        user_service = UserService(
            self._database_through("user-service → postgresql"),
            {"AUTHZ_AUDIT_SECONDS": str(AUDIT_SECONDS)},
        )
        self.user_service = self._enter(user_service)
        self.population = population.create(self.database_url)
        self.archiver = Archiver(self.directory / "archive.jsonl")
        self.archiver.start(self.database_url)
        self._exits.callback(self.archiver.stop)
        self.mint = self._make_mint()
        self.relay = self._enter_with_clock("relay", self._make_relay())

    def _make_relay(self) -> Relay:
        relay = Relay(self.user_service, self._through("relay → rabbitmq", self.rabbitmq, self.rabbitmq.url))
        relay.env = {**relay.env, "DATABASE_URL": self._database_through("relay → postgresql")}
        return relay

    def make_second_relay(self) -> Relay:
        """Another one, past the links; whoever asks for it starts and ends it."""
        relay = Relay(self.user_service, self.rabbitmq.url)
        relay.env = {**relay.env, "DATABASE_URL": self.database_url}
        return relay

    def _make_mint(self) -> Mint:
        (key,) = Path(self.user_service.env["AUTH_KEYS_DIR"]).glob("*.pem")
        with urlopen(KEYS.format(self.user_service.url), timeout=10) as answer:  # noqa: S310
            key_id = json.load(answer)["keys"][0]["kid"]
        return Mint(key, key_id, self.user_service.url, self.archiver)

    def _start_sidecar(self, name: str) -> None:
        amqp_url = self.rabbitmq.add_sidecar(name, secrets.token_hex(16))
        env = {
            "AUTHZ_REDIS_URL": self._through(f"{name} → redis", self.redis, self.redis.url),
            "AUTHZ_AMQP_URL": self._through(f"{name} → rabbitmq", self.rabbitmq, amqp_url),
            "AUTHZ_USER_SERVICE": self._through(
                f"{name} → user-service", self.user_service, self.user_service.url
            ),
            "AUTHZ_JWKS_URL": self._through(
                f"{name} → keys", self.user_service, KEYS.format(self.user_service.url)
            ),
            "AUTHZ_MAX_STALENESS": str(MAX_STALENESS),
        }
        sidecar = LoggedSidecar(
            self.user_service,
            self.upstream.url,
            env,
            self.directory / f"{name}.decisions.jsonl",
            self._workers,
        )
        self.sidecars[name] = self._enter(sidecar)

    def _through(self, link: str, server: Daemon, url: str) -> str:
        """`url` with a link in between."""
        return url.replace(server.address, f"127.0.0.1:{self.network.add(link, server.port)}")

    def _database_through(self, link: str) -> str:
        return self._through(link, self.postgresql, self.database_url)

    def _enter_with_clock(self, name: str, part: D) -> D:
        """Start a part whose clock can be set."""
        self.clocks[name] = self.make_clock(name)
        self.clocks[name].attach(part.process)
        return self._enter(part)

    def make_clock(self, name: str) -> Clock:
        return Clock(self.directory / f"{name}.clock")

    def _enter(self, part: D) -> D:
        self._starting(part.name)
        self._exits.enter_context(part)
        self._exits.callback(_keep_log, part, self.directory)
        return part


def _keep_log(part: Daemon, directory: Path) -> None:
    """Called before `part` removes its files."""
    if part.log_path.exists():
        shutil.copy(part.log_path, directory / f"{part.name}-{part.port}.log")


def _drop_torn_line(path: Path) -> None:
    """A killed sidecar may leave half a line behind; the next one must not write on it."""
    if not path.exists():
        return
    with path.open("rb+") as file:
        content = file.read()
        file.truncate(content.rfind(b"\n") + 1)
