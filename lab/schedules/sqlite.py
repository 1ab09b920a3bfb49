"""SQLite: one writer at a time, so whoever would only wait in vain is not let go on yet."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from django.core.management import call_command
from django.db import connections

from lab.schedules import product, world
from lab.schedules.actors import Actor
from lab.schedules.catalogue import Writer
from lab.schedules.databases import Database, restoring, use
from lab.schedules.world import TABLES, Rows

FIRST_FREE_KEY = 1000
WRITES = ("INSERT", "UPDATE", "DELETE", "REPLACE", "CREATE", "ALTER", "DROP", "WITH", "BEGIN IMMEDIATE")


@contextmanager
def template() -> Iterator[Path]:
    """A migrated database in a folder of its own."""
    with TemporaryDirectory(prefix="explorer-") as folder:
        path = Path(folder) / "template.sqlite3"
        use(f"sqlite:///{path}")
        call_command("migrate", verbosity=0)
        call_command("flush", verbosity=0, interactive=False)
        connections["default"].close()
        raw = sqlite3.connect(path)
        raw.executescript(
            "DELETE FROM auth_permission; DELETE FROM django_content_type; DELETE FROM sqlite_sequence;"
        )
        tables = [
            name for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE sql LIKE '%AUTOINCREMENT%'")
        ]
        raw.executemany(
            "INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)",
            [(name, FIRST_FREE_KEY) for name in tables],
        )
        raw.commit()
        raw.close()
        yield path


def clone(path: Path, name: str) -> str:
    """A database of one's own; its URL."""
    copy = path.with_name(f"{name}.sqlite3")
    with sqlite3.connect(path) as source, sqlite3.connect(copy) as target:
        source.backup(target)
    return f"sqlite:///{copy}"


class SQLite(Database):
    vendor = "sqlite"

    def __init__(self, url: str) -> None:
        use(url)
        self._control = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
        self._control.execute("PRAGMA synchronous = OFF")
        self._worlds: dict[int, sqlite3.Connection] = {}
        product.prepare()

    def close(self) -> None:
        self._control.close()
        for each in self._worlds.values():
            each.close()
        connections["default"].close()

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        return self._control.execute(sql).fetchall()

    def restore(self, crowd: int, writers: Sequence[Writer]) -> None:
        if crowd not in self._worlds:
            statements = restoring(self.rows(), world.initial(crowd))
            self._control.executescript("; ".join(["BEGIN", *statements, "COMMIT"]))
            product.sequence_all()
            self._worlds[crowd] = sqlite3.connect(":memory:")
            self._control.backup(self._worlds[crowd])
        self._worlds[crowd].backup(self._control)
        product.trust()  # a copy raises the schema's number: all would be compared, and nothing ever missed

    def waits_for(self, actor: Actor, others: Iterable[Actor]) -> set[str] | None:
        return None

    def must_wait(self, actor: Actor, statement: str, others: Iterable[Actor]) -> bool:
        begins = not actor.in_transaction and statement.lstrip().upper().startswith(WRITES)
        return begins and any(other.writing for other in others)

    def kill(self, actor: Actor) -> None:
        actor.kill()

    def cancel(self, actor: Actor) -> None:
        """Nobody is ever let go on into a circle."""

    def watch(self, *, exclusive: bool) -> None:
        """Everybody can always read."""

    def unwatch(self) -> None:
        """Nothing is held."""

    def abandon(self) -> None:
        self.close()

    def rows(self) -> Rows:
        self._control.execute("BEGIN")
        found = {
            table: self.query(f"SELECT {', '.join(columns)} FROM {table}")
            for table, columns in TABLES.items()
        }
        self._control.execute("COMMIT")
        return found
