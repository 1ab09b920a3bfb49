"""Event-fed validation: decides from the replica, fetching what the near cache lacks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

from authz_sidecar.authz.single_flight import SingleFlight
from authz_sidecar.core.decision import Behind, Missing, decide
from authz_sidecar.core.entities import Entity, EntityKey, Position, RevisionToken
from authz_sidecar.core.errors import MalformedMessage, Unavailable
from authz_sidecar.core.ports import Pending
from authz_sidecar.core.verdicts import Code, Question, Verdict
from authz_sidecar.replica.replica import Replica
from authz_sidecar.source import UserServiceClient

FILL_TIMEOUT = 3.0
"""Seconds a request waits for what the near cache lacks."""
BEHIND_TIMEOUT = 2.0
"""Seconds a request waits for the revision it asks for."""
MAX_STORE_READS = 1_000
MAX_SUBJECT_CALLS = 1_000
CONCURRENT_SUBJECT_CALLS = 16


class CachedAuthorizer:
    """Implements `core.ports.Authorizer`."""

    def __init__(self, replica: Replica, user_service: UserServiceClient, max_staleness: float) -> None:
        self._replica = replica
        self._near = replica.near
        self._user_service = user_service
        self._max_staleness = max_staleness
        self._store_reads: SingleFlight[bool] = SingleFlight(MAX_STORE_READS)
        self._subject_calls: SingleFlight[bool] = SingleFlight(MAX_SUBJECT_CALLS)
        self._call_slots = asyncio.Semaphore(CONCURRENT_SUBJECT_CALLS)

    def authorize(self, question: Question, now: float) -> Verdict | Pending:
        """Decide now from the near cache, or say what to wait for."""
        found = decide(question, self._replica, self._max_staleness, now)
        if isinstance(found, Verdict):
            return found
        if isinstance(found, Missing):
            return partial(self._fill, found.keys, question.identity.subject)
        return partial(self._catch_up, found, now)

    # The near cache lacks something

    async def _fill(self, keys: tuple[EntityKey, ...], sub: str) -> Verdict | None:
        try:
            async with asyncio.timeout(FILL_TIMEOUT):
                filled = await self._store_reads.call(keys, partial(self._from_store, keys))
                filled = filled or await self._subject_calls.call(sub, partial(self._from_service, sub))
        except (TimeoutError, Unavailable):
            filled = False
        if filled:
            return None
        return self._unknown(Code.GRANTS_UNKNOWN, "the permissions of this user cannot be read now")

    async def _from_store(self, keys: tuple[EntityKey, ...]) -> bool:
        """Whether everything was there. What a usable copy lacks is confirmed with the User service."""
        reading = await self._replica.store_sync.read(keys)
        if reading is None:
            return False
        found = [entity for entity in reading.entities if entity is not None]
        if not await self._replica.reached(self._near.wants(found), FILL_TIMEOUT):
            return False
        if not self._replica.store_sync.trusts(reading.copy):  # it was replaced while we waited
            return False
        return self._admit(found, reading.copy.position) and len(found) == len(keys)

    async def _from_service(self, sub: str) -> bool:
        try:
            async with self._call_slots:
                answer = await self._user_service.subject(sub)
        except (Unavailable, MalformedMessage) as error:
            self._replica.service_answered(False, str(error))
            return False
        self._replica.service_answered(True)
        # Only an answer that lies on our own history shows that both are of the same branch of the epoch.
        if not await self._replica.reached(answer.position.revision, FILL_TIMEOUT):
            return False
        if self._admit(answer.entities, answer.position):
            return True
        return await self._replica.confirmed(self._replica.now(), FILL_TIMEOUT)

    def _admit(self, found: Sequence[Entity], read_at: Position) -> bool:
        if self._near.admit(found, read_at):
            return True
        self._replica.store_sync.notify()  # the store may be too far behind
        return False

    # The request asks for a newer revision, or for another history

    async def _catch_up(self, behind: Behind, asked_at: float) -> Verdict | None:
        wanted, replica = behind.wanted, self._replica
        if self._same_epoch(wanted) and await replica.heard(wanted.revision):
            return None
        if not await replica.confirmed(asked_at, BEHIND_TIMEOUT):
            return self._unknown(Code.BEHIND, f"revision {wanted} has not arrived here yet")
        if not self._same_epoch(wanted):
            return self._foreign(behind)
        if wanted.revision > (replica.head or 0):
            return self._beyond(behind)
        if await replica.reached(wanted.revision, BEHIND_TIMEOUT):
            return None
        return self._unknown(Code.BEHIND, f"revision {wanted} has not arrived here yet")

    def _same_epoch(self, wanted: RevisionToken) -> bool:
        position = self._replica.position
        return position is not None and position.epoch[:8] == wanted.epoch8

    def _foreign(self, behind: Behind) -> Verdict:
        if behind.from_claim:
            return self._unknown(Code.TOKEN_EPOCH, "this token is of a history of permissions that has ended")
        return self._unknown(
            Code.EPOCH_MISMATCH, f"revision {behind.wanted} is of another history of permissions"
        )

    def _beyond(self, behind: Behind) -> Verdict:
        if behind.from_claim:  # issued by a history that has lost its end
            return self._unknown(Code.TOKEN_EPOCH, "this token is of a history of permissions that has ended")
        return self._unknown(Code.REVISION_BEYOND_HEAD, f"there is no revision {behind.wanted} yet")

    def _unknown(self, code: Code, detail: str) -> Verdict:
        return Verdict(code, detail, self._replica.position, self._replica.staleness(self._replica.now()))
