"""Who asks is found out where nobody has to be known, and nobody is refused for it."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from authz_sidecar.core import policy
from authz_sidecar.core.errors import Refused
from authz_sidecar.core.fields import of_request
from authz_sidecar.core.policy import RuleSource
from authz_sidecar.core.ports import Pending
from authz_sidecar.core.verdicts import Code, Decision, Identity, Question, RequestHead, Requirement, Verdict
from authz_sidecar.pipeline import MAX_ROUNDS, Pipeline

ANN = Identity("ann", "key", 2e9, None, 0, None)
RULES = policy.compile(
    [
        RuleSource("1", ("POST",), "/students/", Requirement("any", ("students.add_student",))),
        RuleSource("2", ("POST",), "/webhooks/{rest:path}", Requirement("anyone")),
    ]
)


class Clock:
    def monotonic(self) -> float:
        return 77.0

    def wall(self) -> float:
        return 1_800_000_000.0


@dataclass
class KnownTokens:
    """Knows Ann's; `answers` come first, one a call."""

    answers: list[Identity | Pending] = field(default_factory=list)
    asked: int = 0

    def authenticate(self, token: bytes, now: float) -> Identity | Pending:
        self.asked += 1
        if self.answers:
            return self.answers.pop(0)
        if token != b"ann":
            raise Refused(Code.TOKEN_INVALID, "unknown")
        return ANN


@dataclass
class Grants:
    """Gives `answers`, one a call, then grants everything."""

    answers: list[Verdict | Pending] = field(default_factory=list)
    asked: int = 0

    def authorize(self, question: Question, now: float) -> Verdict | Pending:
        self.asked += 1
        return self.answers.pop(0) if self.answers else Verdict(Code.GRANTED)


@pytest.fixture
def tokens() -> KnownTokens:
    return KnownTokens()


@pytest.fixture
def grants() -> Grants:
    return Grants()


@pytest.fixture
def pipeline(tokens: KnownTokens, grants: Grants) -> Pipeline:
    return Pipeline(RULES, tokens, grants, Clock())


def request(method: str, target: str, *fields: tuple[str, str]) -> RequestHead:
    headers = [(b"Host", b"student"), *((name.encode(), value.encode()) for name, value in fields)]
    return RequestHead(method, target.encode(), of_request(headers), "192.0.2.7")


async def decided(pipeline: Pipeline, head: RequestHead) -> Decision:
    """The decision, after all the waiting it takes."""
    found = pipeline.decide(head, "r")
    return found if isinstance(found, Decision) else await found()


AUTH = ("Authorization", "Bearer ann")


async def unknown() -> Verdict | None:
    return Verdict(Code.KEYS_UNKNOWN, "no answer")


async def learned() -> Verdict | None:
    return None


READ, HOOK = request("GET", "/students/", AUTH), request("POST", "/webhooks/x", AUTH)
REVOKED, STALE = Verdict(Code.TOKEN_REVOKED), Verdict(Code.STALE)
ALIVE = Verdict(Code.AUTHENTICATED)
NAMED: dict[str, tuple[RequestHead, list[Identity | Pending], list[Verdict | Pending], Identity | None]] = {
    "a read": (READ, [], [ALIVE], ANN),
    "what anyone may": (HOOK, [], [ALIVE], ANN),
    "no token": (request("GET", "/students/"), [], [], None),
    "another's token": (request("GET", "/students/", ("Authorization", "Bearer eve")), [], [], None),
    "another scheme": (request("GET", "/students/", ("Authorization", "Basic x")), [], [], None),
    "a token that was ended": (READ, [], [REVOKED], None),
    "it is not known": (READ, [], [STALE], None),
    "the key is not known": (READ, [unknown], [], None),
    "the key is learned": (READ, [learned], [ALIVE], ANN),
    "the grants are not known": (READ, [], [unknown], None),
    "the grants are learned": (READ, [], [learned, ALIVE], ANN),
    "a change of mind": (READ, [], [learned, REVOKED], None),
    "never at rest": (READ, [], [learned] * (MAX_ROUNDS + 1), None),
}


@pytest.mark.parametrize(("head", "tokens_say", "grants_say", "who"), NAMED.values(), ids=NAMED.keys())
async def test_who_asks_is_found_out_and_never_refused_for_it(
    pipeline: Pipeline,
    tokens: KnownTokens,
    grants: Grants,
    head: RequestHead,
    tokens_say: list[Identity | Pending],
    grants_say: list[Verdict | Pending],
    who: Identity | None,
) -> None:
    pipeline.identifies = True
    tokens.answers, grants.answers = [*tokens_say], [*grants_say]
    decision = await decided(pipeline, head)
    assert (decision.status, decision.identity) == (0, who)
    assert decision.verdict.code in {Code.SAFE_METHOD, Code.ANYONE}
    assert not decision.rests_on_token
    assert pipeline.reconsider(decision, head) is decision


async def test_nobody_is_asked_for_where_it_is_not_wanted(pipeline: Pipeline, tokens: KnownTokens) -> None:
    assert (await decided(pipeline, READ)).identity is None
    assert tokens.asked == 0


async def test_a_change_is_asked_about_once(pipeline: Pipeline, grants: Grants) -> None:
    pipeline.identifies = True
    decision = await decided(pipeline, request("POST", "/students/", AUTH))
    assert decision.rests_on_token
    assert grants.asked == 1
