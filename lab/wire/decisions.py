"""A small real pipeline: a compiled policy, and the two ports answered from a table."""

from __future__ import annotations

import asyncio
import time

from authz_sidecar.core import policy
from authz_sidecar.core.bearer import TokenPlaces
from authz_sidecar.core.entities import Position
from authz_sidecar.core.errors import Refused
from authz_sidecar.core.ports import Pending
from authz_sidecar.core.verdicts import (
    Answered,
    Code,
    Decision,
    Failure,
    Identity,
    Question,
    Requirement,
    Verdict,
)
from authz_sidecar.pipeline import AUTHORIZATION, Pipeline

ALICE, BOB, NOBODY = b"alice", b"bob", b"nobody"
"""Tokens: alice may do everything the policy names, bob nothing; nobody's is invalid."""

RULES = (
    (("POST",), "/students/", Requirement("any", ("students.add_student",))),
    (("PUT", "PATCH"), "/students/{id}/", Requirement("any", ("students.change_student",))),
    (("DELETE",), "/students/{id}/", Requirement("any", ("students.delete_student",))),
    (("GET",), "/socket/", Requirement("any", ("students.view_student",))),
    (("POST",), "/open/{rest:path}", Requirement("anyone")),
)

POSITION = Position("3f2a9c1b-0000-4000-8000-000000000000", 7, None)
"""What is known of who asks is right at this one."""


class Clock:
    """The machine's clocks; a test may set the monotonic one ahead."""

    ahead = 0.0
    """Seconds."""

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead

    def wall(self) -> float:
        return time.time()


class Permissions:
    """Authenticator and authorizer in one. Close `gate` to make decisions wait."""

    def __init__(self) -> None:
        every = {permission for _, _, requirement in RULES for permission in requirement.permissions}
        self.grants: dict[str, set[str]] = {"alice": every, "bob": set()}
        self.expires_at = 2.0**40
        """Of all tokens, for whoever asks later; they are accepted until then and afterwards."""
        self.gate = asyncio.Event()
        self.gate.set()

    def authenticate(self, token: bytes, _now: float) -> Identity:
        subject = token.decode("ascii")
        if subject not in self.grants:
            raise Refused(Code.TOKEN_INVALID, "the access token is not valid")
        return Identity(subject, "k1", self.expires_at, None, None, None)

    def authorize(self, question: Question, _now: float) -> Verdict | Pending:
        if not self.gate.is_set():
            return self._wait
        if question.requirement.quantifier == "authenticated":
            return Verdict(Code.AUTHENTICATED, position=POSITION)
        wanted = set(question.requirement.permissions)
        if wanted & self.grants[question.identity.subject]:
            return Verdict(Code.GRANTED)
        return Verdict(Code.PERMISSION_DENIED, f"this needs {question.requirement}")

    async def _wait(self) -> None:
        await self.gate.wait()


class Observer:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.decisions: list[Decision] = []
        self.failures: list[Failure] = []
        self.retries: list[str] = []
        self.ended: list[Answered] = []

    def decided(self, decision: Decision, _seconds: float) -> bool:
        self.decisions.append(decision)
        return True

    def failed(self, failure: Failure) -> None:
        self.failures.append(failure)

    def retried(self, request_id: str) -> None:
        self.retries.append(request_id)

    def answered(self, answered: Answered) -> None:
        self.ended.append(answered)

    @property
    def answers(self) -> list[int]:
        return [each.status for each in self.ended]


def pipeline(
    permissions: Permissions,
    *,
    enforced: bool = True,
    identifies: bool = False,
    places: TokenPlaces = AUTHORIZATION,
) -> Pipeline:
    rules = [policy.RuleSource("test", methods, path, wanted) for methods, path, wanted in RULES]
    return Pipeline(
        policy.compile(rules),
        permissions,
        permissions,
        Clock(),
        places,
        enforced=enforced,
        identifies=identifies,
    )
