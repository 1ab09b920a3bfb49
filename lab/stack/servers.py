"""Private Redis, RabbitMQ and PostgreSQL servers."""

from __future__ import annotations

import json
import os
import pwd
import secrets
import shutil
import signal
import socket
from pathlib import Path
from typing import Protocol, Self

import psycopg
from psycopg import sql

from lab import ROOT
from lab.stack.binaries import require
from lab.stack.daemon import Daemon
from lab.stack.process import Process, StackError, free_port, run, wait_for

BROKER = ROOT / "compose" / "broker.json"


class HasUrl(Protocol):
    """A server that can be used: one of ours, or one that runs elsewhere."""

    @property
    def url(self) -> str: ...


class External:
    """A server that somebody else runs; it is neither started nor stopped."""

    def __init__(self, url: str) -> None:
        self.url = url

    def __enter__(self) -> External:
        return self

    def __exit__(self, *_: object) -> None:
        """Not ours to stop."""


class Redis(Daemon):
    name = "redis"

    def __init__(self) -> None:
        super().__init__()
        self.password = secrets.token_hex(16)

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@{self.address}/0"

    def prepare(self) -> None:
        (self.directory / "redis.conf").write_text(
            f"bind 127.0.0.1\nport {self.port}\nrequirepass {self.password}\n"
            f"dir {self.directory}\nsave ''\nappendonly no\n"
        )

    def make_process(self) -> Process:
        config = str(self.directory / "redis.conf")
        return Process([require("redis-server"), config], log_path=self.log_path)


class RedisCluster(Redis):
    """A cluster of one node, which serves every slot."""

    name = "redis-cluster"

    @property
    def url(self) -> str:
        return super().url.replace("redis://", "redis+cluster://")

    def prepare(self) -> None:
        super().prepare()
        with (self.directory / "redis.conf").open("a") as config:
            config.write(f"cluster-enabled yes\ncluster-port {free_port()}\n")

    def start(self) -> Self:
        super().start()
        self._ask("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
        wait_for(lambda: "cluster_state:ok" in self._ask("CLUSTER", "INFO"), self.start_seconds, self.name)
        return self

    def _ask(self, *command: str) -> str:
        argv = [require("redis-cli"), "--no-auth-warning", "-p", str(self.port), *command]
        return run(argv, command[0], env={"REDISCLI_AUTH": self.password}, deadline=self.start_seconds)


class RedisSentinel(Daemon):
    """Tells where `primary` is, under the name `people`."""

    name = "redis-sentinel"

    def __init__(self, primary: Redis) -> None:
        super().__init__()
        self._primary = primary

    @property
    def url(self) -> str:
        return f"redis+sentinel://:{self._primary.password}@{self.address}/people/0"

    def prepare(self) -> None:
        (self.directory / "sentinel.conf").write_text(
            f"bind 127.0.0.1\nport {self.port}\ndir {self.directory}\n"
            f"sentinel monitor people 127.0.0.1 {self._primary.port} 1\n"
            f"sentinel auth-pass people {self._primary.password}\n"
        )

    def make_process(self) -> Process:
        config = str(self.directory / "sentinel.conf")
        return Process([require("redis-server"), config, "--sentinel"], log_path=self.log_path)


class RabbitMQ(Daemon):
    """A broker with an Erlang port mapper of its own, so that nothing of it outlives it."""

    name = "rabbitmq"

    def __init__(self) -> None:
        super().__init__()
        self.user, self.password = "owner", secrets.token_hex(16)
        self._dist_port, self._epmd_port = free_port(), free_port()
        self._epmd = Process(
            [require("epmd"), "-port", str(self._epmd_port), "-address", "127.0.0.1"],
            log_path=self.directory / "epmd.log",
        )

    @property
    def url(self) -> str:
        return self.url_of(self.user, self.password)

    def url_of(self, user: str, password: str) -> str:
        return f"amqp://{user}:{password}@{self.address}/%2F"

    def add_virtual_host(self, name: str) -> str:
        """A broker of one's own within the broker; its URL."""
        self._control("add_vhost", name)
        self._control("set_permissions", "--vhost", name, self.user, ".*", ".*", ".*")
        return f"amqp://{self.user}:{self.password}@{self.address}/{name}"

    def add_sidecar(self, name: str, password: str) -> str:
        """Makes an account with the rights and limits that Compose's broker gives a sidecar; its URL."""
        shipped = json.loads(BROKER.read_text())
        (account,) = (user for user in shipped["users"] if user["name"] == "sidecar")
        (rights,) = (each for each in shipped["permissions"] if each["user"] == "sidecar")
        limits = self.directory / "limits.json"
        limits.write_text(
            json.dumps({"parameters": [{**each, "vhost": "/"} for each in shipped["parameters"]]})
        )
        self._control("import_definitions", str(limits))
        self._control("add_user", name, password)
        self._control("set_user_limits", name, json.dumps(account["limits"]))
        self._control("set_permissions", name, rights["configure"], rights["write"], rights["read"])
        return self.url_of(name, password)

    def limit_queues(self, pattern: str, length: int | None) -> None:
        """Queues of these names keep at most so many messages, and drop the oldest; `None`: as they like."""
        if length is None:
            self._control("clear_policy", "limit")
        else:
            limit = json.dumps({"max-length": length, "overflow": "drop-head"})
            self._control("set_policy", "--apply-to", "queues", "limit", pattern, limit)

    def prepare(self) -> None:
        (self.directory / "home").mkdir()
        (self.directory / "enabled_plugins").write_text("[].\n")
        (self.directory / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = {self.address}\n"
            f"default_user = {self.user}\ndefault_pass = {self.password}\n"
            "log.console = true\nlog.file = false\n"
            "disk_free_limit.absolute = 1MB\n"
        )

    def make_process(self) -> Process:
        return Process([require("rabbitmq-server")], env=self._environment(), log_path=self.log_path)

    def ready(self) -> bool:
        """The broker greets who speaks AMQP; before that its port may be open, but it is silent."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(b"AMQP\x00\x00\x09\x01")
            return connection.recv(1) == b"\x01"

    def start(self) -> Self:
        if not self._epmd.alive:
            self._epmd.start()
        return super().start()

    def close(self) -> None:
        self.stop()
        self._epmd.kill()
        super().close()

    def _control(self, *command: str) -> None:
        argv = [require("rabbitmqctl"), "--quiet", *command]
        run(argv, f"rabbitmqctl {command[0]}", env=self._environment(), deadline=self.start_seconds)

    def _environment(self) -> dict[str, str]:
        here = self.directory
        return {
            "HOME": str(here / "home"),  # for the Erlang cookie
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"stack-{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            "RABBITMQ_MNESIA_BASE": str(here / "mnesia"),
            "RABBITMQ_LOG_BASE": str(here / "log"),
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
            "RABBITMQ_CONFIG_FILE": str(here / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(here / "enabled_plugins"),
        }


class PostgreSQL(Daemon):
    """Not durable on purpose: it survives being killed, not a crash of the machine."""

    name = "postgresql"

    def __init__(self, **settings: str | int) -> None:
        """`settings` of the server, besides the ones that it needs here."""
        super().__init__()
        self._settings = settings
        self.password = secrets.token_hex(16)
        # The server refuses to run as root.
        self._user = _unprivileged_user() if os.geteuid() == 0 else None

    @property
    def url(self) -> str:
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        return f"postgresql://stack:{self.password}@{self.address}/{database}"

    def create_database(self, name: str) -> str:
        """Makes an empty database; its URL."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.url_of(name)

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    def prepare(self) -> None:
        password_file = self.directory / "password"
        password_file.write_text(self.password)
        if self._user:
            self.directory.chmod(0o755)
            shutil.chown(password_file, self._user)
        self._data.mkdir(mode=0o700)
        if self._user:
            shutil.chown(self._data, self._user)
        self._initdb(password_file)

    def _initdb(self, password_file: Path) -> None:
        options = ["--no-sync", "--encoding=UTF8", "--locale=C", "--username=stack", "--auth=scram-sha-256"]
        making = Process(
            [require("initdb"), *options, f"--pwfile={password_file}", "-D", self._data],
            log_path=self.log_path,
            cwd=self.directory,
            user=self._user,
        )
        making.start()
        wait_for(lambda: not making.alive, self.start_seconds, "initdb")
        if making.exit_code:
            raise StackError(f"initdb failed:\n{making.log_tail()}")

    def make_process(self) -> Process:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "fsync": "off",
            "full_page_writes": "off",
            "max_connections": 200,
            "dynamic_shared_memory_type": "mmap",  # a killed server leaves nothing behind in /dev/shm
            **self._settings,
        }
        return Process(
            [require("postgres"), "-D", self._data, *(f"--{key}={value}" for key, value in settings.items())],
            log_path=self.log_path,
            cwd=self.directory,
            user=self._user,
            stop_signal=signal.SIGINT,  # ends open connections; SIGTERM waits for them
        )

    def ready(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError as error:
            raise ConnectionError(error) from error
        return True


def _unprivileged_user() -> str:
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"
