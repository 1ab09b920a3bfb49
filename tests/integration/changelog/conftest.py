"""Every test of the change log runs on SQLite and on PostgreSQL, each on a fresh database of its own."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import dj_database_url
import psycopg
import pytest
from django.core.management import call_command
from django.db import connections
from django.test import Client
from pytest_django import Settings

from authz_changelog.sidecars import service_tokens
from lab.stack.servers import PostgreSQL, RabbitMQ

DATABASES = ("sqlite", "postgresql")


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """URL of a private PostgreSQL server's default database."""
    with PostgreSQL() as server:
        yield server.url


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[RabbitMQ]:
    with RabbitMQ() as server:
        yield server


@contextmanager
def default_database(url: str) -> Iterator[None]:
    """Make `url` Django's default database: in this thread, and in threads that begin inside."""
    ours, settings = connections["default"], connections.settings["default"]
    parsed = dj_database_url.parse(url, conn_max_age=60)
    options = settings["OPTIONS"] if "sqlite" in parsed["ENGINE"] else {}
    connections.settings["default"] = {**settings, **parsed, "OPTIONS": options}
    del connections["default"]
    try:
        yield
    finally:
        connections["default"].close()
        connections.settings["default"] = settings
        connections["default"] = ours


class SQLiteDatabases:
    """Fresh databases, copied from one that is migrated."""

    def __init__(self, folder: Path) -> None:
        self._template = folder / "template.sqlite3"
        with default_database(f"sqlite:///{self._template}"):
            call_command("migrate", verbosity=0)
            connections["default"].cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")

    @contextmanager
    def fresh(self, name: str) -> Iterator[str]:
        copy = self._template.with_name(f"{name}.sqlite3")
        shutil.copy(self._template, copy)
        yield f"sqlite:///{copy}"

    @contextmanager
    def empty(self, name: str) -> Iterator[str]:
        yield f"sqlite:///{self._template.with_name(f'{name}.sqlite3')}"


class PostgreSQLDatabases:
    """The same on a PostgreSQL server."""

    def __init__(self, server_url: str) -> None:
        self._url = urlsplit(server_url)
        with self.empty("template") as url, default_database(url):
            call_command("migrate", verbosity=0)
            connections["default"].close()
            self._execute("CREATE DATABASE migrated TEMPLATE template")

    @contextmanager
    def fresh(self, name: str, source: str = "migrated") -> Iterator[str]:
        self._execute(f"CREATE DATABASE {name} TEMPLATE {source}")
        try:
            yield self._url._replace(path=f"/{name}").geturl()
        finally:
            self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    def empty(self, name: str) -> AbstractContextManager[str]:
        return self.fresh(name, source="template0")

    def _execute(self, sql: str) -> None:
        with psycopg.connect(self._url.geturl(), autocommit=True) as connection:
            connection.execute(sql)


Databases = SQLiteDatabases | PostgreSQLDatabases


@pytest.fixture(scope="session")
def databases(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, django_db_blocker: object
) -> Callable[[str], Databases]:
    """Finds the databases of one kind; each kind is set up when it is first asked for."""
    made: dict[str, Databases] = {}

    def of(vendor: str) -> Databases:
        if vendor not in made:
            with django_db_blocker.unblock():
                made[vendor] = (
                    SQLiteDatabases(tmp_path_factory.mktemp("sqlite"))
                    if vendor == "sqlite"
                    else PostgreSQLDatabases(request.getfixturevalue("postgresql"))
                )
        return made[vendor]

    return of


@pytest.fixture(autouse=True)
def _no_static_files(settings: Settings, tmp_path: Path) -> None:
    settings.STATIC_ROOT = tmp_path


@contextmanager
def in_use(database: AbstractContextManager[str], django_db_blocker: object) -> Iterator[str]:
    """Make it Django's default database."""
    with django_db_blocker.unblock(), database as url, default_database(url):
        yield url


@pytest.fixture(params=DATABASES)
def database(
    request: pytest.FixtureRequest, databases: Callable[[str], Databases], django_db_blocker: object
) -> Iterator[str]:
    """URL of a fresh, migrated database, which is Django's default while the test runs."""
    with in_use(databases(request.param).fresh(f"test_{os.urandom(4).hex()}"), django_db_blocker) as url:
        yield url


@pytest.fixture(params=DATABASES)
def empty_database(
    request: pytest.FixtureRequest, databases: Callable[[str], Databases], django_db_blocker: object
) -> Iterator[str]:
    """The same, before the first migrations."""
    with in_use(databases(request.param).empty(f"empty_{os.urandom(4).hex()}"), django_db_blocker) as url:
        yield url


@pytest.fixture
def sidecar(database: str) -> Client:
    """A client that holds a service token."""
    return Client(headers={"Authorization": f"Bearer {service_tokens.issue('test')}"})
