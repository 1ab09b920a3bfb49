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

    epoch: str
    revision: int
    at: str
    marked_at: str | None
    entities: tuple[Entity, ...]
    previous_at: str | None = None
    """`at` of the revision before: numbers alone do not tell two branches of one epoch apart."""

    def follows(self, position: Position) -> bool:
        """Whether this is the next revision of the very history that `position` is on."""
        same_branch = None in (self.previous_at, position.at) or self.previous_at == position.at
        return (self.epoch, self.revision) == (position.epoch, position.revision + 1) and same_branch

    @property
    def position(self) -> Position:
        return Position(self.epoch, self.revision, self.at)


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The relay's word that at `at` the head was `revision`, which is the one made at `revision_at`."""

    epoch: str
    revision: int
    at: str
    revision_at: str | None = None

    def contradicts(self, position: Position) -> bool:
        """Whether `position` has this revision's number and is on another branch of the epoch."""
        known = None not in (self.revision_at, position.at)
        return known and self.revision == position.revision and self.revision_at != position.at
