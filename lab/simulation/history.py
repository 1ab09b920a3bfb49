"""The truth: every state the permissions ever had, as a tree of revisions, and the database that walks it.

A restored backup goes back to an older revision and then grows another branch of the same epoch, unless
somebody remembers to begin a new one. So a revision is named by epoch, number *and* instant.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Any
from uuid import UUID

from lab.simulation.clocks import HostClock

EntityId = tuple[str, str]
State = dict[str, Any]
Entities = dict[EntityId, tuple[int, State | None]]


def rfc3339(seconds: float) -> str:
    """An instant as the User service writes it."""
    text = datetime.fromtimestamp(round(seconds, 6), UTC).isoformat(timespec="microseconds")
    return text.replace("+00:00", "Z")


@dataclass(slots=True, eq=False)
class Node:
    """One committed state of one history."""

    epoch: str
    revision: int
    at: str
    previous_at: str | None
    marked_at: str | None
    changed: tuple[EntityId, ...]
    entities: Entities
    """By which revision each was changed last, and to what; `None` for what was deleted."""
    committed: float
    """When the last transaction in it was committed, in the world's time."""
    replaced: float | None = None
    """When the tables first held something else; `None` while they hold just this."""
    lost: float | None = None
    """When somebody first held less in them; `None` while nobody does."""
    _line: bytes | None = field(default=None, repr=False)

    @property
    def name(self) -> tuple[str, int, str]:
        return self.epoch, self.revision, self.at

    def state(self, key: EntityId) -> State | None:
        return self.entities.get(key, (0, None))[1]

    def states(self) -> dict[EntityId, State]:
        return {key: state for key, (_, state) in self.entities.items() if state is not None}

    def line(self) -> bytes:
        """The change message of this revision."""
        if self._line is None:
            entities = [{"kind": k[0], "key": k[1], "state": self.state(k)} for k in self.changed]
            document = {
                "v": 1,
                "type": "change",
                "epoch": self.epoch,
                "revision": self.revision,
                "marked_at": self.marked_at,
                "previous_at": self.previous_at,
                "at": self.at,
                "entities": entities,
            }
            self._line = dumps(document)
        return self._line


@dataclass(slots=True)
class Transaction:
    """What one commit changed, and when."""

    states: Mapping[EntityId, State | None]
    committed: float
    takes: bool
    """Whether somebody lost something by it."""


@dataclass(frozen=True, slots=True)
class Backup:
    """A copy of the database: its log, and what was committed and not yet in it."""

    log: tuple[Node, ...]
    pending: tuple[Transaction, ...]
    cursor: int


class Database:
    """The User service's database. `log[-1]` is the head; the log always holds at least that."""

    def __init__(self, clock: HostClock, random: Random, states: Mapping[EntityId, State]) -> None:
        self._clock = clock
        self._random = random
        self.nodes: dict[tuple[str, int, str], Node] = {}
        """Every node there ever was."""
        self.pending: list[Transaction] = []
        self.cursor = 0
        """What the relays have published; it is restored with the rest."""
        self.moments: list[tuple[float, Node]] = []
        """What was the head from when on."""
        self.disturbed = -1e9
        """When a backup was restored or another epoch begun."""
        self.committed: list[Callable[[Transaction], None]] = []
        """Called after each commit."""
        self._whole: list[Node] = []
        """Those of which nobody has lost anything."""
        entities: dict[EntityId, tuple[int, State | None]] = {
            key: (0, state) for key, state in states.items()
        }
        self.log = [self._add(Node(self._new_epoch(), 0, self._instant(), None, None, (), entities, 0.0))]
        self.moments.append((0.0, self.head))

    @property
    def head(self) -> Node:
        return self.log[-1]

    @property
    def oldest(self) -> int:
        return self.log[0].revision

    def wall(self) -> float:
        """Unix seconds by the service's clock."""
        return self._clock.wall()

    def state(self, key: EntityId) -> State | None:
        """What the tables hold now, whether or not the log has it yet."""
        for transaction in reversed(self.pending):
            if key in transaction.states:
                return transaction.states[key]
        return self.head.state(key)

    def commit(self, states: Mapping[EntityId, State | None], now: float) -> None:
        """One transaction; what it leaves as it was is not written."""
        different = {key: state for key, state in states.items() if self.state(key) != state}
        if not different:
            return
        if not self.pending:
            self.head.replaced = now
        takes = any(_less(state, self.state(key)) for key, state in different.items())
        transaction = Transaction(different, now, takes)
        self.pending.append(transaction)
        if takes:
            self._lose(now)
        for call in self.committed:
            call(transaction)

    @property
    def only_gains(self) -> bool:
        """Whether nobody has lost what the log says that he has."""
        return not any(transaction.takes for transaction in self.pending)

    def _lose(self, now: float) -> None:
        for node in self._whole:
            node.lost = now
        self._whole = []

    def sequence(self, now: float) -> None:
        """Turn what is pending into one revision."""
        pending, self.pending = self.pending, []
        if not pending:
            return
        head = self.head
        states = {key: state for transaction in pending for key, state in transaction.states.items()}
        different = {key: state for key, state in states.items() if head.state(key) != state}
        if not different:
            head.replaced = None
            if head.lost is not None:
                head.lost = None
                self._whole.append(head)
            return
        revision = head.revision + 1
        entities = head.entities | {key: (revision, state) for key, state in different.items()}
        marked_at = rfc3339(self._clock.wall())
        node = Node(
            head.epoch,
            revision,
            self._instant(),
            head.at,
            marked_at,
            tuple(different),
            entities,
            pending[-1].committed,
        )
        self.log.append(self._add(node))
        self.moments.append((now, node))

    def backup(self) -> Backup:
        return Backup(tuple(self.log), tuple(self.pending), self.cursor)

    def restore(self, backup: Backup, now: float) -> None:
        """Go back to what a copy holds."""
        self.disturbed = now
        if self.head.replaced is None:
            self.head.replaced = now
        self._lose(now)
        self.log, self.pending, self.cursor = list(backup.log), list(backup.pending), backup.cursor
        self.head.replaced = self.pending[0].committed if self.pending else None
        self.head.lost = next((each.committed for each in self.pending if each.takes), None)
        if self.head.lost is None:
            self._whole = [self.head]
        self.moments.append((now, self.head))

    def new_epoch(self, now: float) -> None:
        """Begin another history where this one stands; the log begins anew."""
        self.sequence(now)
        self.disturbed = now
        head = self.head
        head.replaced = now
        self._lose(now)
        epoch = self._new_epoch()
        node = Node(epoch, head.revision, self._instant(), None, None, (), head.entities, now)
        self.log = [self._add(node)]
        self.moments.append((now, node))
        self.cursor = head.revision

    def between(self, since: float, until: float) -> list[Node]:
        """Every head between two instants."""
        found = []
        for when, node in reversed(self.moments):
            if when <= until:
                found.append(node)
            if when <= since:
                break
        return found

    def prune(self, keep: int) -> None:
        """Forget all revisions but the newest `keep`."""
        self.log = self.log[-max(1, keep) :]

    def after(self, revision: int) -> Sequence[Node]:
        """The revisions of the log after that one."""
        return self.log[max(0, revision + 1 - self.oldest) :]

    def _add(self, node: Node) -> Node:
        if node.name in self.nodes:
            raise AssertionError(f"two revisions have one name: {node.name}")
        self.nodes[node.name] = node
        self._whole.append(node)
        return node

    def _instant(self) -> str:
        """Now by the service's clock, never twice the same for one revision of one epoch."""
        return rfc3339(self._clock.wall() + self._random.random() * 1e-3)

    def _new_epoch(self) -> str:
        return str(UUID(int=self._random.getrandbits(128), version=4))


def _less(now: State | None, before: State | None) -> bool:
    """Whether an entity holds less than before. Another generation of tokens takes the old ones."""
    if before is None:
        return False
    if now is None:
        return True
    return any(_taken(now.get(name), before.get(name)) for name in {*before, *now})


def _taken(now: Any, before: Any) -> bool:
    if isinstance(before, bool):
        return before and not now
    if isinstance(before, list):
        return not set(before) <= set(now)
    return bool(now != before)


def dumps(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
