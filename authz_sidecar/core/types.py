"""The vocabulary that every part of the sidecar shares."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, NamedTuple, Protocol

from authz_sidecar.core.fields import Fields

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


class RequestHead(NamedTuple):
    """A request as it arrived, before anything was believed about it."""

    method: str
    target: bytes
    fields: Fields
    peer: str


@dataclass(frozen=True, slots=True)
class Identity:
    """What a verified token says. `expires_at` and `not_before` are Unix seconds."""

    subject: str
    key_id: str
    expires_at: float
    not_before: float | None
    token_generation: int | None
    min_revision: RevisionToken | None


Quantifier = Literal["anyone", "authenticated", "any", "all"]


@dataclass(frozen=True, slots=True)
class Requirement:
    """What a rule demands: nobody in particular, any living user, or any/all of some permissions."""

    quantifier: Quantifier
    permissions: tuple[str, ...] = ()

    def __str__(self) -> str:
        if not self.permissions:
            return self.quantifier
        if len(self.permissions) == 1:
            return self.permissions[0]
        return f"{self.quantifier}({', '.join(self.permissions)})"


class Question(NamedTuple):
    """Everything the authorize step decides on; nothing else may influence the answer."""

    identity: Identity
    requirement: Requirement
    min_revision: RevisionToken | None


class Code(StrEnum):
    """The stable codes of decisions; `pipeline.STATUS` maps each refusal to its HTTP status."""

    __hash__ = str.__hash__  # an enumeration's own is written in Python, and every decision looks codes up

    # forwarded
    SAFE_METHOD = "safe_method"
    ANYONE = "anyone"
    AUTHENTICATED = "authenticated"
    GRANTED = "granted"
    SUPERUSER = "superuser"
    # refused: the request itself
    BAD_TARGET = "bad_target"
    BAD_HEADER = "bad_header"
    METHOD_OVERRIDE = "method_override"
    METHOD_REFUSED = "method_refused"
    METHOD_UNKNOWN = "method_unknown"
    # refused: who asks
    TOKEN_MISSING = "token_missing"  # noqa: S105 (a refusal code, not a password)
    TOKEN_INVALID = "token_invalid"  # noqa: S105 (a refusal code, not a password)
    TOKEN_EXPIRED = "token_expired"  # noqa: S105 (a refusal code, not a password)
    TOKEN_REVOKED = "token_revoked"  # noqa: S105 (a refusal code, not a password)
    TOKEN_EPOCH = "token_epoch"  # noqa: S105 (a refusal code, not a password)
    SUBJECT_UNKNOWN = "subject_unknown"
    SUBJECT_INACTIVE = "subject_inactive"
    # refused: what they may do
    NO_RULE = "no_rule"
    PERMISSION_DENIED = "permission_denied"
    # refused: consistency tokens
    REVISION_BEYOND_HEAD = "revision_beyond_head"
    REVISION_MALFORMED = "revision_malformed"
    EPOCH_MISMATCH = "epoch_mismatch"
    # refused: not known, which is never "denied"
    NOT_READY = "not_ready"
    STALE = "stale"
    BEHIND = "behind"
    GRANTS_UNKNOWN = "grants_unknown"
    KEYS_UNKNOWN = "keys_unknown"


FORWARDED = frozenset({Code.SAFE_METHOD, Code.ANYONE, Code.AUTHENTICATED, Code.GRANTED, Code.SUPERUSER})


class Verdict(NamedTuple):
    """The answer of the authorize step: `code`, the position it is exactly right at, and its age.

    `position` and `staleness` (seconds, on the monotonic clock) are `None` where no replica was asked.
    """

    code: Code
    detail: str = ""
    position: Position | None = None
    staleness: float | None = None

    @property
    def allowed(self) -> bool:
        return self.code in FORWARDED


Pending = Callable[[], Awaitable[Verdict | None]]
"""I/O that a decision waits for. It ends in a verdict, or in `None`: decide again from the beginning."""


class Authenticator(Protocol):
    """Turns a bearer token into an identity."""

    def authenticate(self, token: bytes, now: float) -> Identity | Pending:
        """`now` in Unix seconds. Raises `Refused` when the token is not acceptable."""


class Authorizer(Protocol):
    """Answers whether an identity meets a requirement."""

    def authorize(self, question: Question, now: float) -> Verdict | Pending:
        """`now` in seconds of the monotonic clock. Never blocks, never guesses."""


class Clock(Protocol):
    """The only source of time; tests pass one they can turn."""

    def monotonic(self) -> float: ...
    def wall(self) -> float: ...


class Decision(NamedTuple):
    """What was decided about one request, in full: answered from, logged from, counted from."""

    request_id: str
    method: str
    target: str
    verdict: Verdict
    status: int
    """HTTP status of the refusal; 0 when the request goes on to the upstream."""
    rule: str | None = None
    requirement: Requirement | None = None
    identity: Identity | None = None
    enforced: bool = True
    """False in shadow mode: the request is forwarded whatever the verdict."""
    revoking: bool = False
    """It ends a request that an earlier decision had let through."""

    @property
    def forward(self) -> bool:
        return not self.status


class Failure(NamedTuple):
    """Why a client was answered without a decision, or in spite of one: a fault of the request, of the
    service behind, or our own."""

    request_id: str
    status: int
    """0 when the connection was closed without an answer."""
    code: str
    peer: str


class RequestObserver(Protocol):
    """Hooks of the request path: the core knows no metrics and no logs."""

    def decided(self, decision: Decision, seconds: float) -> None:
        """A decision was reached after `seconds`, waiting included."""

    def failed(self, failure: Failure) -> None:
        """The byte path ended a request by itself."""

    def answered(self, status: int, seconds: float) -> None:
        """The client was sent `status` (499: it left before), `seconds` after its request arrived."""
