"""Event-fed validation: decides from the replica's near cache; what is not at hand is waited for."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

from authz_sidecar.core.decision import Behind, Missing, decide, stand
from authz_sidecar.core.entities import EntityKey, RevisionToken
from authz_sidecar.core.ports import Pending
from authz_sidecar.core.proofs import Proofs
from authz_sidecar.core.verdicts import Code, Question, Verdict
from authz_sidecar.replica.near_cache import NearCache
from authz_sidecar.replica.waiting import Arrival


class WaitingRoom(Protocol):
    """As `replica.waiting.Waiting` has it."""

    async def for_entities(self, keys: tuple[EntityKey, ...], sub: str) -> bool: ...
    async def for_revision(self, wanted: RevisionToken, asked_at: float, sub: str) -> Arrival: ...


class Kept(Protocol):
    """A copy of the permissions in this process that somebody keeps up to date."""

    @property
    def near(self) -> NearCache: ...
    @property
    def proofs(self) -> Proofs: ...
    @property
    def waiting(self) -> WaitingRoom: ...
    @property
    def now(self) -> Callable[[], float]: ...


class CachedAuthorizer:
    """Implements `core.ports.Authorizer`."""

    def __init__(self, replica: Kept, max_staleness: float, max_audit_age: float) -> None:
        """Bounds in seconds; an infinite one is none."""
        self._near = replica.near
        self._proofs = replica.proofs
        self._waiting = replica.waiting
        self._now = replica.now
        self._max_staleness = max_staleness
        self._max_audit_age = max_audit_age

    def authorize(self, question: Question, now: float) -> Verdict | Pending:
        """Decide now, or say what to wait for."""
        proofs, bound = self._proofs, question.requirement.max_staleness
        found = decide(
            question,
            self._near,
            proofs.staleness(now),
            bound if bound < self._max_staleness else self._max_staleness,
            proofs.audit_age(now),
            self._max_audit_age,
            proofs.losses_staleness(now),
        )
        if isinstance(found, Verdict):
            return found
        user = self._near.user(question.identity)
        sub = question.identity.subject if user is None else user.key
        if isinstance(found, Missing):
            return partial(self._fill, found.keys, sub)
        return partial(self._catch_up, found, now, sub)

    def undecided(self, now: float) -> Verdict | None:
        """Why no change can be decided on now, whoever asks; `None` when it can."""
        proofs = self._proofs
        found = stand(
            self._near,
            proofs.staleness(now),
            self._max_staleness,
            proofs.audit_age(now),
            self._max_audit_age,
        )
        return found if isinstance(found, Verdict) else None

    async def _fill(self, keys: tuple[EntityKey, ...], sub: str) -> Verdict | None:
        if await self._waiting.for_entities(keys, sub):
            return None
        return self._unknown(Code.GRANTS_UNKNOWN, "the permissions of this user cannot be read now")

    async def _catch_up(self, behind: Behind, asked_at: float, sub: str) -> Verdict | None:
        wanted = behind.wanted
        arrival = await self._waiting.for_revision(wanted, asked_at, sub)
        if arrival is Arrival.HERE:
            return None
        if arrival is Arrival.LATE:
            return self._unknown(Code.BEHIND, f"revision {wanted} has not arrived here yet")
        if behind.from_claim:  # issued by a history that has lost its end, or has ended altogether
            return self._unknown(Code.TOKEN_EPOCH, "this token is of a history of permissions that has ended")
        if arrival is Arrival.OTHER_HISTORY:
            return self._unknown(
                Code.EPOCH_MISMATCH, f"revision {wanted} is of another history of permissions"
            )
        return self._unknown(Code.REVISION_BEYOND_HEAD, f"there is no revision {wanted} yet")

    def _unknown(self, code: Code, detail: str) -> Verdict:
        return Verdict(code, detail, self._near.position, self._proofs.staleness(self._now()))
