"""Request-based validation: the User service is asked about every mutating request."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from functools import partial
from typing import NamedTuple

from authz_sidecar.core import naming
from authz_sidecar.core.decision import USER_FIELD_UNKNOWN, by_ownership
from authz_sidecar.core.entities import Position
from authz_sidecar.core.errors import MalformedMessage, Unavailable
from authz_sidecar.core.naming import Fields
from authz_sidecar.core.ports import Pending
from authz_sidecar.core.verdicts import Code, Question, Verdict
from authz_sidecar.core.wire import CheckAnswer
from authz_sidecar.source import UserServiceClient

CODES = {
    "superuser": Code.SUPERUSER,
    "granted": Code.GRANTED,
    "denied": Code.PERMISSION_DENIED,
    "inactive": Code.SUBJECT_INACTIVE,
    "unknown_subject": Code.SUBJECT_UNKNOWN,
    "token_revoked": Code.TOKEN_REVOKED,
}
"""The User service's reasons in our words."""

logger = logging.getLogger(__name__)


class Named(NamedTuple):
    """By which fields users are named in an epoch."""

    epoch: str
    """Empty: any."""
    fields: Fields


BY_FIRST = Named("", None)
"""For tokens of which it is not said by which field they name users."""
RETRY_SECONDS = 10.0


class RequestAuthorizer:
    """Implements `core.ports.Authorizer` without any copy of the permissions."""

    def __init__(self, user_service: UserServiceClient, user_fields: Collection[str] = ()) -> None:
        """`user_fields`: by which issuers name users."""
        self._user_service = user_service
        self._user_fields = user_fields
        self._named: Named | None = None
        self._unnamed = ""

    def authorize(self, question: Question, now: float) -> Verdict | Pending:
        """Never decided here: always one call per permission in question, until they decide."""
        return partial(self._ask, question)

    async def learn(self) -> None:
        """By which fields users are named. Ends when the User service has answered once."""
        while self._user_fields and self._named is None:
            try:
                await self._names()
            except (Unavailable, MalformedMessage):
                await asyncio.sleep(RETRY_SECONDS)

    def unnamed(self) -> str:
        """As `Replica.unnamed`."""
        return self._unnamed

    async def _names(self) -> Named:
        if self._named is None:
            head = await self._user_service.head()
            self._named = Named(head.epoch, naming.agreed(head.subject_fields, self._user_fields))
            before, self._unnamed = self._unnamed, naming.missing(self._named.fields, self._user_fields)
            if self._unnamed not in ("", before):
                logger.error("%s: tokens that do are refused with 503 user_field_unknown", self._unnamed)
        return self._named

    async def _ask(self, question: Question) -> Verdict | None:
        try:
            return await self._decide(question)
        except (Unavailable, MalformedMessage):
            return Verdict(Code.GRANTS_UNKNOWN, "the User service cannot be asked now")

    async def _decide(self, question: Question) -> Verdict | None:
        """Every answer must be of one revision; `None`: it moved in between, ask again."""
        requirement, identity = question.requirement, question.identity
        named = BY_FIRST if identity.user_field is None else await self._names()
        key = naming.entity_key(identity, named.fields)
        if key is None:
            self._named = None  # it may be another epoch by now: ask again the next time
            return Verdict(Code.USER_FIELD_UNKNOWN, USER_FIELD_UNKNOWN)
        verdict = Verdict(Code.PERMISSION_DENIED, f"this needs {requirement}")
        if_living = _if_living(question)
        permissions: tuple[str | None, ...] = requirement.permissions
        if requirement.quantifier == "authenticated" or if_living is not None:
            permissions = (None,)
        asked_at: tuple[str, int] | None = None
        for permission in permissions:
            answer = await self._user_service.check(
                key.key, permission, identity.token_generation, identity.issued_after
            )
            if named.epoch not in ("", answer.epoch):
                self._named = None
                return None
            if asked_at not in (None, (answer.epoch, answer.revision)):
                return None
            asked_at = answer.epoch, answer.revision
            verdict = _too_old(question, answer) or _verdict(question, answer, if_living)
            decided = verdict.code not in (Code.GRANTED, Code.PERMISSION_DENIED)
            if decided or verdict.allowed is (requirement.quantifier != "all"):
                return verdict
        return verdict


def _if_living(question: Question) -> Code | None:
    """What every living user is answered, whatever they hold."""
    requirement = question.requirement
    return None if requirement.own is None else by_ownership(requirement, owns=question.owns)


def _verdict(question: Question, answer: CheckAnswer, if_living: Code | None) -> Verdict:
    position = Position(answer.epoch, answer.revision, None)
    code = CODES.get(answer.reason)
    if code is None or Verdict(code).allowed is not answer.allowed:
        return Verdict(Code.GRANTS_UNKNOWN, "the User service's answer is not understood", position, 0.0)
    if answer.allowed and question.requirement.quantifier == "authenticated":
        code = Code.AUTHENTICATED
    elif answer.allowed and if_living is not None:
        code = if_living
    detail = f"this needs {question.requirement}" if code is Code.PERMISSION_DENIED else ""
    return Verdict(code, detail, position, 0.0)


def _too_old(question: Question, answer: CheckAnswer) -> Verdict | None:
    """An answer is always the newest there is: a revision it lacks does not exist."""
    position = Position(answer.epoch, answer.revision, None)
    claim = question.identity.min_revision
    if claim is not None and (claim.epoch8 != answer.epoch[:8] or claim.revision > answer.revision):
        return Verdict(Code.TOKEN_EPOCH, "this token is of a history of permissions that has ended", position)
    header = question.min_revision
    if header is None:
        return None
    if header.epoch8 != answer.epoch[:8]:
        detail = f"revision {header} is of another history of permissions"
        return Verdict(Code.EPOCH_MISMATCH, detail, position)
    if header.revision > answer.revision:
        return Verdict(Code.REVISION_BEYOND_HEAD, f"there is no revision {header} yet", position)
    return None
