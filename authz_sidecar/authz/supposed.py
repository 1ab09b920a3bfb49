"""Decides from what somebody supposes a user to hold: for tests of a policy, and to explain one offline."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from authz_sidecar.core.decision import decide
from authz_sidecar.core.entities import Entity, EntityKey, Position, UserState
from authz_sidecar.core.ports import Pending
from authz_sidecar.core.verdicts import Code, Identity, Question, Verdict

NOWHERE = Position("00000000-0000-0000-0000-000000000000", 0, None)
"""No history of permissions is asked."""


@dataclass(frozen=True, slots=True)
class Supposed:
    """Implements `core.ports.Authorizer` and `core.decision.View`: every user holds this, no group exists."""

    state: UserState
    position: Position = NOWHERE

    @classmethod
    def holding(cls, permissions: frozenset[str], *, superuser: bool = False) -> Supposed:
        """An active user with these permissions."""
        return cls(UserState(True, superuser, permissions, frozenset(), token_generation=0))

    def entity(self, key: EntityKey) -> Entity | None:
        return Entity(key, 0, self.state if key.kind == "user" else None)

    def user(self, identity: Identity) -> EntityKey | None:
        return EntityKey("user", identity.subject)

    def authorize(self, question: Question, now: float) -> Verdict | Pending:
        """Always fresh; only a revision that is asked for is never here."""
        found = decide(question, self, 0.0, inf, 0.0, inf)
        if isinstance(found, Verdict):
            return found
        return Verdict(Code.BEHIND, "it names a revision, and there is none here")
