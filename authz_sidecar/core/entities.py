"""What is known of the permissions: entities, their states, and where in their history one stands."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, NamedTuple

Kind = Literal["user", "group"]


class EntityKey(NamedTuple):
    """Names one user or one group. Keys are compared exactly: no case folding, no normalisation."""

    kind: Kind
    key: str


@dataclass(frozen=True, slots=True)
class UserState:
    """What one user holds directly (the grants)."""

    active: bool
    superuser: bool
    permissions: frozenset[str]
    groups: frozenset[str]
    token_generation: int
    tokens_not_before: int | None = None
    """Tokens without a generation that were issued until then (Unix seconds) are void; `None`: none is."""


@dataclass(frozen=True, slots=True)
class GroupState:
    """What every member of one group holds."""

    permissions: frozenset[str]


EntityState = UserState | GroupState | None
"""`None` says: known not to exist. "Not known" is never a state."""


@dataclass(frozen=True, slots=True)
class Entity:
    """The state of one entity and the revision that last changed it."""

    key: EntityKey
    revision: int
    state: EntityState


@dataclass(frozen=True, slots=True)
class Position:
    """One point of one history: `at` is the User service's time of that revision (RFC 3339, as sent)."""

    epoch: str
    revision: int
    at: str | None

    @property
    def token(self) -> RevisionToken:
        return RevisionToken(self.epoch[:8], self.revision)


@dataclass(frozen=True, slots=True)
class RevisionToken:
    """`epoch8.revision`, how revisions travel outside the wire contract."""

    epoch8: str
    revision: int

    def __str__(self) -> str:
        return f"{self.epoch8}.{self.revision}"

    @classmethod
    def parse(cls, text: str) -> RevisionToken:
        """The token that `str` would write. Raises ValueError for any other text."""
        match = _REVISION_TOKEN.fullmatch(text)
        if match is None:
            raise ValueError("a revision token is 8 hexadecimal digits, a dot and a number: 3f2a9c1b.1234")
        return cls(match[1], int(match[2]))


_REVISION_TOKEN = re.compile(r"([0-9a-f]{8})\.(0|[1-9][0-9]{0,15})")


@dataclass(frozen=True, slots=True)
class Change:
    """One revision: the new states of one or more entities, applied together or not at all."""

    position: Position
    """Where whoever has applied it stands."""
    marked_at: float | None
    """When the first of its causes was committed, in Unix seconds by the User service's clock."""
    entities: tuple[Entity, ...]
    previous_at: str | None = None
    """`at` of the revision before: numbers alone do not tell two branches of one epoch apart."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The relay's word that at `at` (Unix seconds by its own clock) the head was `position`."""

    position: Position
    at: float
    audited_at: float | None = None
    """When the least recently compared part of the log was compared with the tables, by the same clock."""
