"""A database that loses history: restored from a backup, or with its log cut off."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

import psycopg
from psycopg import sql

from lab.campaign.population import reload_users
from lab.campaign.system import DATABASE, System
from lab.stack.process import wait_for

BACKUP = "backup"
LOST = 8
"""Revisions that the backup lacks."""


@contextmanager
def restored(system: System, random: Random) -> Iterator[str]:
    """An older state comes back, and nobody says so."""
    yield _restore(system, new_epoch=False)


@contextmanager
def restored_in_new_epoch(system: System, random: Random) -> Iterator[str]:
    """An older state comes back, and `manage.py new_epoch` is run as it should be."""
    yield _restore(system, new_epoch=True)


@contextmanager
def truncated(system: System, random: Random) -> Iterator[str]:
    """The log is pruned to its newest revision while a sidecar is away: it gets 410 when it is back."""
    name = random.choice(list(system.sidecars))
    system.sidecars[name].suspend()
    try:
        seen = system.archiver.position.revision
        wait_for(lambda: system.archiver.position.revision >= seen + LOST, 20, f"{LOST} revisions")
        deleted = _prune(system)
        yield f"{deleted} revisions, {name} away"
    finally:
        system.sidecars[name].resume()


def _prune(system: System) -> int:
    """Deletes what `manage.py prune_revisions` would delete much later, when the archive has it all."""
    with psycopg.connect(system.database_url) as connection:
        connection.execute("LOCK TABLE authz_changelog_head IN EXCLUSIVE MODE")  # nobody adds a revision now
        system.archiver.drain()
        deleted = connection.execute(
            "DELETE FROM authz_changelog_revision"
            " WHERE revision < (SELECT revision FROM authz_changelog_head)"
        ).rowcount
    system.archiver.resume(system.database_url)
    return deleted


def _restore(system: System, *, new_epoch: bool) -> str:
    with psycopg.connect(system.postgresql.url, autocommit=True) as server:
        with _shut(server, system):
            server.execute(f"CREATE DATABASE {BACKUP} TEMPLATE {DATABASE}")
        backed_up = system.archiver.position.revision
        wait_for(lambda: system.archiver.position.revision >= backed_up + LOST, 20, f"{LOST} revisions")
        with _shut(server, system):
            server.execute(f"DROP DATABASE {DATABASE}")
            backup = system.postgresql.url_of(BACKUP)
            if new_epoch:
                system.user_service.manage("new_epoch", database_url=backup)
            lost = system.archiver.position.revision - backed_up
            system.archiver.rebase(backup)
            reload_users(backup, system.population)
            server.execute(f"ALTER DATABASE {BACKUP} RENAME TO {DATABASE}")
    return f"{lost} revisions lost"


@contextmanager
def _shut(server: psycopg.Connection, system: System) -> Iterator[None]:
    """Nobody is connected to the database any more; the archive has everything that was committed."""
    name, archiver = sql.Identifier(DATABASE), system.archiver.backend_pid
    server.execute(sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS false").format(name))
    _disconnect(server, but=archiver)
    system.archiver.drain()
    wait_for(lambda: _disconnect(server, but=0), 10, "the archiver to disconnect")
    yield
    server.execute(sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS true").format(name))
    system.archiver.resume(system.database_url)


def _disconnect(server: psycopg.Connection, *, but: int) -> bool:
    """End every connection but one; true when there is none."""

    def others() -> bool:
        left = server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> %s",
            [DATABASE, but],
        ).fetchall()
        return not left

    return wait_for(others, 10, "everybody to disconnect")
