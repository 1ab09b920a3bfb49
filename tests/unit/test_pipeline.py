"""The decision path: the order of its steps, their refusals, and waiting."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from authz_sidecar.codes import TABLE
from authz_sidecar.core import policy
from authz_sidecar.core.bearer import TokenPlaces
from authz_sidecar.core.entities import RevisionToken
from authz_sidecar.core.errors import Refused
from authz_sidecar.core.fields import of_request
from authz_sidecar.core.policy import Policy, RuleSource
from authz_sidecar.core.ports import Pending
from authz_sidecar.core.verdicts import (
    FORWARDED,
    Code,
    Decision,
    Identity,
    Question,
    RequestHead,
    Requirement,
    Verdict,
)
from authz_sidecar.pipeline import MAX_ROUNDS, Pipeline

ADD = Requirement("any", ("students.add_student",))
VIEW = Requirement("any", ("students.view_student",))
ANN = Identity("ann", "key", 2e9, None, 0, None)
WALL, MONOTONIC = 1_800_000_000.0, 77.0

RULES = policy.compile(
    [
        RuleSource("1", ("POST",), "/students/", ADD),
        RuleSource("2", ("GET",), "/secret/{id}/", VIEW),
        RuleSource("3", ("POST",), "/webhooks/{rest:path}", Requirement("anyone")),
    ]
)


class Clock:
    def monotonic(self) -> float:
        return MONOTONIC

    def wall(self) -> float:
        return WALL


@dataclass
class KnownTokens:
    """Accepts tokens by name; `answers` come first, one a call."""

    answers: list[Identity | Pending] = field(default_factory=list)
    asked: list[tuple[bytes, float]] = field(default_factory=list)

    def authenticate(self, token: bytes, now: float) -> Identity | Pending:
        self.asked.append((token, now))
        if self.answers:
            return self.answers.pop(0)
        if token != b"ann":
            raise Refused(Code.TOKEN_INVALID, "unknown")
        return ANN


@dataclass
class Grants:
    """Grants what is in `held`; `answers` come first, one a call."""

    held: frozenset[str] = frozenset(ADD.permissions)
    answers: list[Verdict | Pending] = field(default_factory=list)
    asked: list[tuple[Question, float]] = field(default_factory=list)

    def authorize(self, question: Question, now: float) -> Verdict | Pending:
        self.asked.append((question, now))
        if self.answers:
            return self.answers.pop(0)
        allowed = set(question.requirement.permissions) <= self.held
        return Verdict(Code.GRANTED if allowed else Code.PERMISSION_DENIED)


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
    return RequestHead(method, target.encode("latin-1"), of_request(headers), "192.0.2.7")


async def decided(pipeline: Pipeline, head: RequestHead, request_id: str) -> Decision:
    """The decision, after all the waiting it takes."""
    found = pipeline.decide(head, request_id)
    return found if isinstance(found, Decision) else await found()


AUTH = ("Authorization", "Bearer ann")


@pytest.mark.parametrize(
    ("head", "code"),
    [
        # safe methods
        (request("GET", "/students/"), Code.SAFE_METHOD),
        (request("HEAD", "/students/"), Code.SAFE_METHOD),
        (request("OPTIONS", "/students/"), Code.SAFE_METHOD),
        (request("OPTIONS", "*"), Code.SAFE_METHOD),
        (request("GET", "/secret/1"), Code.SAFE_METHOD),
        (request("OPTIONS", "/a//b/../%2f"), Code.SAFE_METHOD),
        (request("OPTIONS", "/secret/1/"), Code.SAFE_METHOD),
        # safe methods that a rule names
        (request("GET", "/secret/1/"), Code.TOKEN_MISSING),
        (request("HEAD", "/secret/1/"), Code.TOKEN_MISSING),
        (request("GET", "/%73ecret/1/"), Code.TOKEN_MISSING),
        (request("GET", "/secret/1/", AUTH), Code.PERMISSION_DENIED),
        (request("GET", "//secret/1/"), Code.BAD_TARGET),
        # targets
        (request("POST", "/x/../students/", AUTH), Code.BAD_TARGET),
        # rules
        (request("POST", "/students/1/", AUTH), Code.NO_RULE),
        (request("POST", "/students", AUTH), Code.NO_RULE),
        (request("DELETE", "/students/", AUTH), Code.NO_RULE),
        (request("PATCH", "/"), Code.NO_RULE),
        (request("POST", "/webhooks/a/b"), Code.ANYONE),
        (request("POST", "/webhooks/a", ("Authorization", "junk")), Code.ANYONE),
        # tokens
        (request("POST", "/students/"), Code.TOKEN_MISSING),
        (request("POST", "/students/", ("Authorization", "Basic ann")), Code.TOKEN_MISSING),
        (request("POST", "/students/", ("Authorization", "Bearer eve")), Code.TOKEN_INVALID),
        (request("POST", "/students/", ("Authorization", "Bearer ann, Bearer eve")), Code.TOKEN_INVALID),
        # consistency tokens and grants
        (request("POST", "/students/", AUTH, ("Authz-Min-Revision", "10")), Code.REVISION_MALFORMED),
        (request("POST", "/students/", AUTH), Code.GRANTED),
        (request("POST", "/%73tudents/?x=/../", AUTH), Code.GRANTED),
    ],
)
async def test_decisions(pipeline: Pipeline, head: RequestHead, code: Code) -> None:
    decision = await decided(pipeline, head, "r1")
    assert decision.verdict.code is code
    assert decision.forward == (code in FORWARDED)
    assert decision.status == TABLE[code].status
    shadow = await decided(replace(pipeline, enforced=False), head, "r1")
    assert (shadow.verdict, shadow.forward, shadow.status) == (decision.verdict, True, 0)


@pytest.mark.parametrize(
    ("head", "code"),
    [
        # methods
        (request("CONNECT", "student:443"), Code.METHOD_REFUSED),
        (request("TRACE", "/"), Code.METHOD_REFUSED),
        (request("PURGE", "/"), Code.METHOD_UNKNOWN),
        (request("post", "/students/"), Code.METHOD_UNKNOWN),
        (request("get", "/"), Code.METHOD_UNKNOWN),
        (request("PROPFIND", "/students/", AUTH), Code.METHOD_UNKNOWN),
        (request("GET", "http://student/students/"), Code.BAD_TARGET),
        (request("GET", "/students/#x"), Code.BAD_TARGET),
        (request("GET", "*"), Code.BAD_TARGET),
        (request("POST", "*", AUTH), Code.BAD_TARGET),
        (request("GET", "/", ("Host", "other")), Code.BAD_HEADER),
        (request("POST", "/students/", AUTH, AUTH), Code.BAD_HEADER),
        (request("POST", "/students/", AUTH, ("Connection", "authorization")), Code.BAD_HEADER),
        (request("GET", "/", ("X-HTTP-Method-Override", "DELETE")), Code.METHOD_OVERRIDE),
        (request("POST", "/students/", AUTH, ("x_http_method_override", "PUT")), Code.METHOD_OVERRIDE),
        (request("GET", "/", ("X-Forwarded-Method", "DELETE")), Code.LOOKS_LIKE_A_HOOK),
        (request("HEAD", "/secret/1/", AUTH, ("x_original_method", "PUT")), Code.LOOKS_LIKE_A_HOOK),
    ],
)
@pytest.mark.parametrize("enforced", [True, False])
async def test_what_is_no_sound_request_is_refused_in_either_mode(
    pipeline: Pipeline, enforced: bool, head: RequestHead, code: Code
) -> None:
    decision = await decided(replace(pipeline, enforced=enforced), head, "r1")
    assert decision.verdict.code is code
    assert not decision.forward
    assert decision.status == TABLE[code].status


@pytest.mark.parametrize(
    "head",
    [
        request("GET", "/students/", AUTH),
        request("POST", "/nowhere/", AUTH),
        request("POST", "//students/", AUTH),
        request("POST", "/webhooks/x", AUTH),
        request("POST", "/students/", AUTH, ("Host", "other")),
    ],
)
async def test_no_token_is_read_before_it_is_needed(
    pipeline: Pipeline, tokens: KnownTokens, head: RequestHead
) -> None:
    await decided(pipeline, head, "r1")
    assert tokens.asked == []


async def test_no_grants_are_read_for_a_bad_token(pipeline: Pipeline, grants: Grants) -> None:
    await decided(pipeline, request("POST", "/students/", ("Authorization", "Bearer eve")), "r1")
    assert grants.asked == []


async def test_the_steps_get_exactly_what_they_decide_on(
    pipeline: Pipeline, tokens: KnownTokens, grants: Grants
) -> None:
    head = request("POST", "/students/", AUTH, ("Authz-Min-Revision", "3f2a9c1b.7"))
    await decided(pipeline, head, "r1")
    assert tokens.asked == [(b"ann", WALL)]
    assert grants.asked == [(Question(ANN, ADD, RevisionToken("3f2a9c1b", 7)), MONOTONIC)]


async def test_a_decision_tells_everything(pipeline: Pipeline) -> None:
    decision = await decided(pipeline, request("POST", "/students/?a=é", AUTH), "r1")
    assert decision.verdict.code is Code.BAD_TARGET
    decision = await decided(pipeline, request("POST", "/students/?a=1", AUTH), "r1")
    assert decision == Decision(
        request_id="r1",
        method="POST",
        target="/students/?a=1",
        verdict=Verdict(Code.GRANTED),
        status=0,
        rule="POST /students/",
        requirement=ADD,
        identity=ANN,
        enforced=True,
        policy=RULES.digest,
    )


async def test_the_token_may_be_in_another_header(pipeline: Pipeline) -> None:
    moved = replace(pipeline, token_places=TokenPlaces(b"x-token"))
    assert (await decided(moved, request("POST", "/students/", AUTH), "r")).verdict.code is Code.TOKEN_MISSING
    assert (await decided(moved, request("POST", "/students/", ("X-Token", "ann")), "r")).forward


async def test_method_overrides_pass_where_the_policy_allows_them(pipeline: Pipeline) -> None:
    lenient = replace(pipeline, policy=policy.compile([], allow_method_override=True))
    decision = await decided(lenient, request("GET", "/", ("X-HTTP-Method-Override", "HEAD")), "r1")
    assert decision.verdict.code is Code.SAFE_METHOD


def pending(verdict: Verdict | None, then: Callable[[], None] = lambda: None) -> Pending:
    async def wait() -> Verdict | None:
        then()
        return verdict

    return wait


async def test_what_has_to_wait_is_decided_again_from_the_beginning(
    pipeline: Pipeline, tokens: KnownTokens, grants: Grants
) -> None:
    tokens.answers = [pending(None), ANN]
    grants.answers = [pending(None)]
    decision = await decided(pipeline, request("POST", "/students/", AUTH), "r1")
    assert decision.verdict.code is Code.GRANTED
    assert len(tokens.asked) == 3
    assert len(grants.asked) == 2


async def test_a_token_that_ends_while_waiting_is_refused(
    pipeline: Pipeline, tokens: KnownTokens, grants: Grants
) -> None:
    def ended(_token: bytes, _now: float) -> Identity:
        raise Refused(Code.TOKEN_EXPIRED, "expired")

    grants.answers = [pending(None, then=lambda: setattr(tokens, "authenticate", ended))]
    decision = await decided(pipeline, request("POST", "/students/", AUTH), "r1")
    assert decision.verdict.code is Code.TOKEN_EXPIRED


async def test_waiting_may_end_in_a_verdict(pipeline: Pipeline, tokens: KnownTokens, grants: Grants) -> None:
    tokens.answers = [pending(Verdict(Code.KEYS_UNKNOWN))]
    decision = await decided(pipeline, request("POST", "/students/", AUTH), "r1")
    assert (decision.status, decision.identity, decision.rule) == (503, None, "POST /students/")
    grants.answers = [pending(Verdict(Code.BEHIND))]
    decision = await decided(pipeline, request("POST", "/students/", AUTH), "r1")
    assert (decision.status, decision.identity) == (503, ANN)


async def test_waiting_without_end_is_not_a_denial(pipeline: Pipeline, grants: Grants) -> None:
    grants.answers = [pending(None)] * (MAX_ROUNDS + 1)
    decision = await decided(pipeline, request("POST", "/students/", AUTH), "r1")
    assert decision.verdict.code is Code.GRANTS_UNKNOWN
    assert len(grants.asked) == MAX_ROUNDS + 1


async def test_nothing_is_asked_twice_before_the_wait(
    pipeline: Pipeline, tokens: KnownTokens, grants: Grants
) -> None:
    grants.answers = [pending(None)]
    undecided = pipeline.decide(request("POST", "/students/", AUTH), "r1")
    assert not isinstance(undecided, Decision)
    assert (len(tokens.asked), len(grants.asked)) == (1, 1)
    assert (await undecided()).verdict.code is Code.GRANTED
    assert (len(tokens.asked), len(grants.asked)) == (2, 2)


HEAD = request("POST", "/students/", AUTH)


async def reconsidered(pipeline: Pipeline, decision: Decision, head: RequestHead = HEAD) -> Decision:
    found = pipeline.reconsider(decision, head)
    return found if isinstance(found, Decision) else await found()


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Verdict(Code.GRANTED), None),
        (Verdict(Code.SUPERUSER), None),
        (Verdict(Code.PERMISSION_DENIED), Code.PERMISSION_DENIED),
        (Verdict(Code.STALE), Code.STALE),
        (pending(None), None),
        (pending(Verdict(Code.GRANTS_UNKNOWN)), Code.GRANTS_UNKNOWN),
    ],
)
async def test_what_is_under_way_is_revoked_by_a_verdict_that_does_not_allow_it(
    pipeline: Pipeline, grants: Grants, answer: Verdict | Pending, code: Code | None
) -> None:
    head = request("POST", "/students/", AUTH, ("Authz-Min-Revision", "3f2a9c1b.7"))
    first = await decided(pipeline, head, "r1")
    grants.answers = [answer]
    revised = await reconsidered(pipeline, first)
    assert grants.asked[-1] == (Question(ANN, ADD, None), MONOTONIC)
    if code is None:
        assert revised is first
    else:
        verdict = revised.verdict
        assert verdict.code is code
        assert revised == first._replace(verdict=verdict, status=TABLE[code].status, revoking=True)


@pytest.mark.parametrize("head", [request("GET", "/students/"), request("POST", "/webhooks/a", AUTH)])
async def test_what_rests_on_no_permission_is_never_revoked(
    pipeline: Pipeline, grants: Grants, head: RequestHead
) -> None:
    first = await decided(pipeline, head, "r1")
    assert await reconsidered(pipeline, first, head) is first
    assert grants.asked == []


async def test_shadow_mode_revokes_nothing(pipeline: Pipeline, grants: Grants) -> None:
    shadow = replace(pipeline, enforced=False)
    first = await decided(shadow, request("POST", "/students/", AUTH), "r1")
    grants.held = frozenset()
    assert await reconsidered(shadow, first) is first


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        ([], Code.GRANTED),
        ([Verdict(Code.PERMISSION_DENIED)], Code.PERMISSION_DENIED),
        ([pending(None)], Code.GRANTED),
        ([pending(Verdict(Code.BEHIND))], Code.BEHIND),
        ([pending(None)] * (MAX_ROUNDS + 1), Code.GRANTS_UNKNOWN),
    ],
)
async def test_a_question_without_a_request_is_evaluated(
    pipeline: Pipeline, grants: Grants, answers: list[Verdict | Pending], code: Code
) -> None:
    grants.answers = list(answers)
    wanted = RevisionToken("3f2a9c1b", 7)
    decision = await pipeline.evaluate("ann", ADD, "r1", wanted)
    (question, _) = grants.asked[0]
    assert (question.identity.subject, question.requirement, question.min_revision) == ("ann", ADD, wanted)
    assert (decision.verdict.code, decision.status) == (code, TABLE[code].status)
    assert (decision.request_id, decision.requirement, decision.policy) == ("r1", ADD, RULES.digest)


# another policy comes into force


def rules(*written: tuple[str, str, Requirement], override: bool = False) -> Policy:
    sources = [RuleSource("new", (method,), path, wanted) for method, path, wanted in written]
    return policy.compile(sources, allow_method_override=override)


OPEN = rules(("POST", "/students/", Requirement("anyone")))
NONE = rules()
STRICT = rules(
    ("POST", "/students/", VIEW), ("GET", "/students/", VIEW), ("POST", "/webhooks/{r:path}", VIEW)
)


@pytest.mark.parametrize(
    ("swapped", "code", "rule"),
    [
        (OPEN, Code.ANYONE, "POST /students/"),
        (NONE, Code.NO_RULE, None),
        (STRICT, Code.PERMISSION_DENIED, "POST /students/"),
    ],
)
@pytest.mark.parametrize("end", [None, Verdict(Code.GRANTS_UNKNOWN)])
async def test_a_request_that_waits_is_decided_from_the_beginning_by_the_policy_in_force(
    pipeline: Pipeline,
    grants: Grants,
    swapped: Policy,
    code: Code,
    rule: str | None,
    end: Verdict | None,
) -> None:
    async def swap() -> Verdict | None:
        pipeline.policy = swapped
        return end

    grants.answers = [swap]
    decision = await decided(pipeline, HEAD, "r1")
    assert (decision.verdict.code, decision.rule, decision.policy) == (code, rule, swapped.digest)


@pytest.mark.parametrize(
    ("head", "swapped", "code", "forward"),
    [
        (HEAD, OPEN, Code.ANYONE, True),
        (HEAD, NONE, Code.NO_RULE, False),
        (HEAD, STRICT, Code.PERMISSION_DENIED, False),
        (request("GET", "/students/"), OPEN, Code.SAFE_METHOD, True),
        (request("GET", "/students/"), STRICT, Code.TOKEN_MISSING, False),
        (request("GET", "/students/", AUTH), STRICT, Code.PERMISSION_DENIED, False),
        (request("POST", "/webhooks/a"), STRICT, Code.TOKEN_MISSING, False),
        (request("POST", "/webhooks/a", AUTH), NONE, Code.NO_RULE, False),
    ],
)
async def test_what_is_under_way_is_matched_with_the_new_rules(
    pipeline: Pipeline, head: RequestHead, swapped: Policy, code: Code, forward: bool
) -> None:
    first = await decided(pipeline, head, "r1")
    assert first.forward
    pipeline.policy = swapped
    revised = await reconsidered(pipeline, first, head)
    assert (revised.verdict.code, revised.policy, revised.forward) == (code, swapped.digest, forward)
    assert revised.revoking is not forward
    assert revised.request_id == "r1"


async def test_what_goes_on_by_a_new_rule_is_from_then_on_revoked_by_what_that_one_asks_for(
    pipeline: Pipeline, grants: Grants
) -> None:
    grants.held = frozenset({*ADD.permissions, *VIEW.permissions})
    first = await decided(pipeline, HEAD, "r1")
    pipeline.policy = STRICT
    revised = await reconsidered(pipeline, first)
    assert (revised.requirement, revised.revoking) == (VIEW, False)
    grants.held = frozenset(ADD.permissions)
    assert (await reconsidered(pipeline, revised)).verdict.code is Code.PERMISSION_DENIED


async def test_a_token_that_was_good_when_the_request_came_is_not_judged_again(
    pipeline: Pipeline, tokens: KnownTokens
) -> None:
    first = await decided(pipeline, HEAD, "r1")
    pipeline.policy = rules(("POST", "/students/", ADD), ("PUT", "/students/", ADD))
    assert (await reconsidered(pipeline, first)).forward
    assert len(tokens.asked) == 1


async def test_a_question_that_waits_is_put_to_the_policy_in_force(
    pipeline: Pipeline, grants: Grants
) -> None:
    first = await decided(pipeline, HEAD, "r1")

    async def swap() -> Verdict | None:
        pipeline.policy = NONE
        return None

    grants.answers = [swap]
    revised = await reconsidered(pipeline, first)
    assert (revised.verdict.code, revised.policy, revised.revoking) == (Code.NO_RULE, NONE.digest, True)


async def test_shadow_mode_cuts_nothing_that_the_new_rules_refuse(pipeline: Pipeline) -> None:
    shadow = replace(pipeline, enforced=False)
    first = await decided(shadow, HEAD, "r1")
    shadow.policy = NONE
    revised = await reconsidered(shadow, first)
    assert (revised.verdict.code, revised.revoking, revised.forward) == (Code.NO_RULE, False, True)
