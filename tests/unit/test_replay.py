"""Decisions of the log made again: what follows from them, what does not, and that nothing is guessed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz_sidecar.authz.supposed import NOWHERE
from authz_sidecar.core.decision import View, decide
from authz_sidecar.core.entities import Entity, EntityKey, EntityState, GroupState, Position, UserState
from authz_sidecar.core.errors import MalformedMessage
from authz_sidecar.core.fields import of_request
from authz_sidecar.core.naming import entity_key
from authz_sidecar.core.policy import Policy, RuleSource, compile
from authz_sidecar.core.ports import Pending
from authz_sidecar.core.verdicts import Code, Decision, Identity, Question, RequestHead, Requirement, Verdict
from authz_sidecar.observe.composed import Composer
from authz_sidecar.observe.logged import Logged, Reader
from authz_sidecar.pipeline import Pipeline
from authz_sidecar.replay import Replay, Unknown

LABELS = ("s.a", "s.b", "s.c")
GROUP = "3"
INFINITE = float("inf")


@dataclass
class World:
    """Implements `Authenticator`, `Authorizer`, `View` and `Clock` over states that are all known."""

    states: dict[EntityKey, EntityState] = field(default_factory=dict)
    position: Position = NOWHERE

    def authenticate(self, token: bytes, now: float) -> Identity:
        return Identity("17", "key", INFINITE, None, 0, None)

    def authorize(self, question: Question, now: float) -> Verdict | Pending:
        found = decide(question, self, 0.0, INFINITE, 0.0, INFINITE)
        assert isinstance(found, Verdict)
        return found

    def entity(self, key: EntityKey) -> Entity | None:
        return Entity(key, 0, self.states.get(key))

    def user(self, identity: Identity) -> EntityKey | None:
        return entity_key(identity, ("pk", "email"))

    def monotonic(self) -> float:
        return 0.0

    def wall(self) -> float:
        return 0.0

    def at(self, position: Position) -> View | None:
        return self if position == self.position else None


def policy(*rules: tuple[str, str, Requirement]) -> Policy:
    return compile(RuleSource("here", (method,), path, requirement) for method, path, requirement in rules)


def decided(by: Policy, world: World, method: str, path: str, *, token: bool = True) -> Decision:
    pairs = [(b"Host", b"h")] + [(b"Authorization", b"Bearer t")] * token
    request = RequestHead(method, path.encode(), of_request(pairs), "")
    found = Pipeline(by, world, world, world).decide(request, "r")
    assert isinstance(found, Decision)
    return found


def logged(decision: Decision, **changes: object) -> Logged:
    line = json.loads(Composer().decision(decision, 1_795_000_000.0))
    return Reader().read({**line, **changes})


# one by one


def any_of(*labels: str) -> Requirement:
    return Requirement("any", labels)


def all_of(*labels: str) -> Requirement:
    return Requirement("all", labels)


@pytest.mark.parametrize(
    ("code", "then", "now", "follows"),
    [
        (Code.GRANTED, any_of("s.a"), any_of("s.a"), Code.GRANTED),
        (Code.GRANTED, any_of("s.a"), any_of("s.b"), None),
        (Code.GRANTED, any_of("s.a"), any_of("s.a", "s.b"), Code.GRANTED),
        (Code.GRANTED, any_of("s.a", "s.b"), any_of("s.a"), None),
        (Code.GRANTED, all_of("s.a", "s.b"), any_of("s.a"), Code.GRANTED),
        (Code.GRANTED, any_of("s.a"), all_of("s.a", "s.b"), None),
        (Code.GRANTED, any_of("s.a"), Requirement("authenticated"), Code.AUTHENTICATED),
        (Code.GRANTED, any_of("s.a"), Requirement("anyone"), Code.ANYONE),
        (Code.PERMISSION_DENIED, any_of("s.a", "s.b"), any_of("s.a"), Code.PERMISSION_DENIED),
        (Code.PERMISSION_DENIED, any_of("s.a"), all_of("s.a", "s.b"), Code.PERMISSION_DENIED),
        (Code.PERMISSION_DENIED, any_of("s.a"), any_of("s.b"), None),
        (Code.SUPERUSER, any_of("s.a"), any_of("s.b"), Code.SUPERUSER),
        (Code.AUTHENTICATED, Requirement("authenticated"), any_of("s.a"), None),
        (Code.STALE, any_of("s.a"), any_of("s.b"), Code.STALE),
        (Code.TOKEN_REVOKED, any_of("s.a"), Requirement("authenticated"), Code.TOKEN_REVOKED),
    ],
)
def test_what_a_verdict_proves(code: Code, then: Requirement, now: Requirement, follows: Code | None) -> None:
    before = Decision(
        "r", "POST", "/s/", Verdict(code), 0, "POST /s/", then, Identity("17", "", INFINITE, None, 0, None)
    )
    judged = Replay(policy(("POST", "/s/", now))).judge(logged(before))
    assert (judged.code, judged.unknown) == (follows, None if follows else Unknown.HELD)


OPEN = policy(("POST", "/s/", Requirement("anyone")))
SHUT = policy(("POST", "/t/", any_of("s.a")))
NEEDS = policy(("POST", "/s/", any_of("s.a")), ("GET", "/s/", any_of("s.a")))


@pytest.mark.parametrize(
    ("code", "method", "now", "expected"),
    [
        (Code.TOKEN_MISSING, "POST", NEEDS, Code.TOKEN_MISSING),
        (Code.TOKEN_INVALID, "POST", OPEN, Code.ANYONE),
        (Code.TOKEN_EXPIRED, "POST", SHUT, Code.NO_RULE),
        (Code.KEYS_UNKNOWN, "POST", NEEDS, Code.KEYS_UNKNOWN),
        (Code.CROSS_ORIGIN, "POST", NEEDS, Code.CROSS_ORIGIN),
        (Code.CROSS_ORIGIN, "POST", OPEN, Code.ANYONE),
        (Code.SUBPROTOCOL_MISSING, "GET", OPEN, Code.SUBPROTOCOL_MISSING),
        (Code.NO_RULE, "POST", NEEDS, Unknown.WHO),
        (Code.NO_RULE, "POST", OPEN, Code.ANYONE),
        (Code.NO_RULE, "POST", SHUT, Code.NO_RULE),
        (Code.SAFE_METHOD, "GET", NEEDS, Unknown.WHO),
        (Code.SAFE_METHOD, "GET", OPEN, Code.SAFE_METHOD),
        (Code.ANYONE, "POST", NEEDS, Unknown.WHO),
        (Code.METHOD_REFUSED, "TRACE", NEEDS, Code.METHOD_REFUSED),
        (Code.METHOD_UNKNOWN, "BREW", NEEDS, Code.METHOD_UNKNOWN),
        (Code.BAD_HEADER, "POST", OPEN, Code.BAD_HEADER),
        (Code.METHOD_OVERRIDE, "POST", OPEN, Code.METHOD_OVERRIDE),
        (Code.METHOD_OVERRIDE, "POST", compile([], allow_method_override=True), Unknown.HEADERS),
        (Code.BAD_TARGET, "POST", OPEN, Code.BAD_TARGET),
        (Code.WEBSOCKET_NO_RULE, "GET", OPEN, Code.WEBSOCKET_NO_RULE),
        (Code.WEBSOCKET_NO_RULE, "GET", NEEDS, Unknown.WHO),
    ],
)
def test_of_whom_nothing_is_known(code: Code, method: str, now: Policy, expected: Code | Unknown) -> None:
    judged = Replay(now).judge(logged(Decision("r", method, "/s/", Verdict(code), 0)))
    assert (judged.unknown or judged.code) == expected


def test_a_path_of_which_something_was_left_out() -> None:
    decision = Decision("r", "POST", "/s/eyJhbGciOi.eyJzdWI.c2ln/", Verdict(Code.NO_RULE), 403)
    assert Replay(OPEN).judge(logged(decision)).unknown is Unknown.TARGET


def test_a_bad_path_is_judged_by_what_the_policy_governs() -> None:
    decision = logged(Decision("r", "GET", "/a//b", Verdict(Code.BAD_TARGET), 400))
    assert Replay(OPEN).judge(decision).code is Code.SAFE_METHOD
    assert Replay(NEEDS).judge(decision).code is Code.BAD_TARGET


def test_an_archive_that_lacks_the_revision_is_named() -> None:
    elsewhere = Position(NOWHERE.epoch, 9, None)
    verdict = Verdict(Code.GRANTED, "", elsewhere, 0.1)
    who = Identity("17", "", INFINITE, None, 0, None)
    decision = Decision("r", "POST", "/s/", verdict, 0, "POST /s/", any_of("s.b"), who)
    assert Replay(NEEDS, World()).judge(logged(decision)).unknown is Unknown.ARCHIVE


# against the pipeline itself

labels = st.frozensets(st.sampled_from(LABELS))
requirements = st.one_of(
    st.sampled_from([Requirement("authenticated"), Requirement("anyone")]),
    st.builds(
        Requirement,
        st.sampled_from(["any", "all"]),
        st.lists(st.sampled_from(LABELS), min_size=1, max_size=3, unique=True).map(tuple),
    ),
)
METHODS = ("GET", "POST", "DELETE")
policies = st.builds(
    lambda rules: policy(*((method, path, each) for (method, path), each in rules.items())),
    st.dictionaries(
        st.tuples(st.sampled_from(METHODS), st.sampled_from(["/s/", "/s/{id}/", "/{rest:path}"])),
        requirements,
    ),
)


@st.composite
def worlds(draw: st.DrawFn) -> dict[EntityKey, EntityState]:
    groups = draw(st.frozensets(st.sampled_from([GROUP, "4"])))
    user = UserState(draw(st.booleans()), draw(st.booleans()), draw(labels), groups, token_generation=0)
    states: dict[EntityKey, EntityState] = {
        EntityKey("group", key): GroupState(draw(labels)) for key in groups
    }
    return {**states, **({EntityKey("user", "17"): user} if draw(st.booleans()) else {})}


def without(states: Mapping[EntityKey, EntityState], group: str) -> World:
    return World({key: state for key, state in states.items() if key != EntityKey("group", group)})


@given(
    before=policies,
    after=policies,
    states=worlds(),
    method=st.sampled_from(METHODS),
    path=st.sampled_from(["/s/", "/s/1/", "/t/", "/a//b", "/s/?x"]),
    token=st.booleans(),
    group=st.sampled_from([None, GROUP]),
)
def test_what_is_not_unknown_is_what_the_pipeline_would_decide(
    before: Policy,
    after: Policy,
    states: dict[EntityKey, EntityState],
    method: str,
    path: str,
    token: bool,
    group: str | None,
) -> None:
    then = decided(before, World(states), method, path, token=token)
    right = decided(after, without(states, group) if group else World(states), method, path, token=token)
    by_archive = Replay(after, World(states), group).judge(logged(then))
    assert by_archive.unknown is None or by_archive.unknown is Unknown.WHO
    for judged in (by_archive, Replay(after, None, group).judge(logged(then))):
        if judged.unknown is None:
            assert (judged.code, judged.allowed, judged.rule) == (
                right.verdict.code,
                right.verdict.allowed,
                right.rule,
            )


# what is read back


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"code": "sung"}, "'sung' is not known here"),
        ({"outcome": "maybe"}, "'maybe' is not known here"),
        ({"target": 7}, "target: must be text"),
        ({"enforced": "yes"}, "enforced: must be true or false"),
        ({"quantifier": "most"}, "quantifier, permissions: are of no rule"),
        ({"revision": "nine", "epoch": "e"}, "epoch, revision, revision_at: name no revision"),
    ],
)
def test_what_is_no_decision_is_told_by_its_field(changes: dict[str, object], said: str) -> None:
    with pytest.raises(MalformedMessage, match=said):
        logged(decided(NEEDS, World(), "POST", "/s/"), **changes)
