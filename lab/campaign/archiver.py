"""Writes the archive that decisions are held against (format: docs/archive.md).

It reads the User service's database itself, past every link that faults are injected into. Whoever is
about to destroy revisions (a restore, a truncation) keeps writers out, calls `drain`, destroys, calls
`rebase` if the history is another one now, and `resume`: so no revision is ever missed.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, RLock, Thread
from typing import Any, NamedTuple

import psycopg

POLL_SECONDS = 0.05
KEPT = 500
"""Change messages kept in memory, for those who replay old ones."""

_NEWS = """
SELECT head.epoch, head.revision, extract(epoch FROM clock_timestamp())::float8,
       log.revision, log.at, log.marked_at, log.previous_at, log.entities
FROM authz_changelog_head AS head LEFT JOIN authz_changelog_revision AS log ON log.revision > %s
ORDER BY log.revision
"""
_POSITION = """
SELECT head.epoch, log.revision, log.at
FROM authz_changelog_head AS head JOIN authz_changelog_revision AS log USING (revision)
"""
_ENTITIES = "SELECT kind, key, revision, state FROM authz_changelog_entity WHERE state IS NOT NULL"

State = dict[str, Any]


class MissedRevision(Exception):
    """The archive has a hole: nothing can be proved with it."""


class Position(NamedTuple):
    epoch: str
    revision: int


class Archiver:
    """Follows one database at a time. Its methods may be called from any thread."""

    def __init__(self, path: Path) -> None:
        self.states: dict[tuple[str, str], State] = {}
        self.position = Position("", 0)
        self.recent: deque[str] = deque(maxlen=KEPT)
        self.error: Exception | None = None
        self._file = path.open("w", encoding="utf-8")
        self._lock = RLock()
        self._url: str | None = None
        self._connection: psycopg.Connection | None = None
        self._seen_at = 0.0
        """When the database last answered: what it did not tell then had not been committed."""
        self._stopping = Event()
        self._thread = Thread(target=self._run, name="archiver", daemon=True)

    def start(self, url: str) -> None:
        self.rebase(url)
        self.resume(url)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()
        self._leave()
        self._file.close()

    def rebase(self, url: str) -> None:
        """Take the whole state of this database down, to go on from there."""
        with self._lock, psycopg.connect(url, autocommit=True) as connection:
            self._take_snapshot(connection)

    def drain(self) -> None:
        """Take down everything that is committed, and let go of the database, if that is still to be done."""
        with self._lock:
            if self._url is not None:
                self._poll()
                self._leave()
            self._url = None

    def resume(self, url: str) -> None:
        """Go on from where `drain` or `rebase` ended."""
        with self._lock:
            self._url = url

    @property
    def backend_pid(self) -> int:
        """Of our connection, which must outlive the others until `drain`."""
        with self._lock:
            return self._connected().info.backend_pid

    def _run(self) -> None:
        while not self._stopping.wait(POLL_SECONDS):
            with self._lock:
                try:
                    if self._url is not None:
                        self._poll()
                except psycopg.OperationalError:
                    self._leave()  # it is down: nothing can be committed either
                except MissedRevision as error:
                    self.error = error
                    return

    def _connected(self) -> psycopg.Connection:
        if self._connection is None:
            if self._url is None:
                raise psycopg.OperationalError("following no database")
            self._connection = psycopg.connect(self._url, autocommit=True, connect_timeout=2)
        return self._connection

    def _leave(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _poll(self) -> None:
        asked_at = time.time()
        rows = self._connected().execute(_NEWS, [self.position.revision]).fetchall()
        for epoch, head, database_now, revision, at, marked_at, previous_at, entities in rows:
            if str(epoch) != self.position.epoch or head < self.position.revision:
                raise MissedRevision(f"the history jumped to {epoch} {head} from {self.position}")
            if revision is None:
                break
            if revision != self.position.revision + 1:
                raise MissedRevision(f"revision {revision} came after {self.position.revision}")
            offset = time.time() - database_now
            replaced_at = min(max(at.timestamp() + offset, self._seen_at), time.time())
            position = Position(str(epoch), revision)
            instants = {"marked_at": marked_at, "previous_at": previous_at, "at": at}
            self._write_change(position, instants, entities, replaced_at)
        self._seen_at = asked_at
        self._file.flush()

    def _write_change(
        self, position: Position, instants: Mapping[str, datetime | None], entities: str, replaced_at: float
    ) -> None:
        message = {
            "v": 1,
            "type": "change",
            "epoch": position.epoch,
            "revision": position.revision,
            **{name: instant and _rfc3339(instant) for name, instant in instants.items()},
            "entities": json.loads(entities),
        }
        self.recent.append(json.dumps(message))
        self._write({**message, "archived_at": replaced_at})
        for entity in message["entities"]:
            self._keep(entity)
        self.position = position

    def _take_snapshot(self, connection: psycopg.Connection) -> None:
        with _one_snapshot(connection):
            epoch, revision, at = connection.execute(_POSITION).fetchone() or ("", 0, None)
            rows = connection.execute(_ENTITIES).fetchall()
        self._seen_at = time.time()
        first = {
            "type": "snapshot",
            "v": 1,
            "epoch": str(epoch),
            "revision": revision,
            "at": _rfc3339(at),
            "entities": len(rows),
            "archived_at": self._seen_at,
        }
        self._write(first)
        self.states.clear()
        for kind, key, changed_by, state in rows:
            entity = {"kind": kind, "key": key, "revision": changed_by, "state": json.loads(state)}
            self._write(entity)
            self._keep(entity)
        self._write({"type": "end", "entities": len(rows)})
        self.position = Position(str(epoch), revision)
        self._file.flush()

    def _keep(self, entity: State) -> None:
        key = (entity["kind"], entity["key"])
        if entity["state"] is None:
            self.states.pop(key, None)
        else:
            self.states[key] = entity["state"]

    def _write(self, line: State) -> None:
        self._file.write(json.dumps(line) + "\n")


@contextmanager
def _one_snapshot(connection: psycopg.Connection) -> Iterator[None]:
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield


def _rfc3339(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
