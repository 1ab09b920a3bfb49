"""The decision: its cases are data in decisions.yaml."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from authz_sidecar.core.decision import Behind, Missing, decide
from authz_sidecar.core.entities import (
    Entity,
    EntityKey,
    EntityState,
    GroupState,
    Position,
    RevisionToken,
    UserState,
)
from authz_sidecar.core.naming import Fields, entity_key
from authz_sidecar.core.verdicts import Code, Identity, Own, Question, Requirement, Verdict

DOCUMENT = yaml.safe_load((Path(__file__).parent / "decisions.yaml").read_text())
POSITION = Position("3f2a9c1b-0000-4000-8000-000000000000", 10, "2026-11-22T09:00:00Z")
MAX_STALENESS = 30.0


@dataclass
class Copy:
    """A view that holds what it was given."""

    entities: dict[EntityKey, Entity]
    position: Position | None = POSITION
    age: float | None = 1.0
    fields: Fields = ("pk",)

    def entity(self, key: EntityKey) -> Entity | None:
        return self.entities.get(key)

    def user(self, identity: Identity) -> EntityKey | None:
        return entity_key(identity, self.fields)


def entities(users: dict[str, Any], groups: dict[str, Any]) -> dict[EntityKey, Entity]:
    states: dict[EntityKey, EntityState] = {}
    for key, user in users.items():
        states[EntityKey("user", key)] = user if user is None else user_state(**user)
    for key, group in groups.items():
        states[EntityKey("group", key)] = (
            group if group is None else GroupState(frozenset(group["permissions"]))
        )
    return {key: Entity(key, 1, state) for key, state in states.items()}


def user_state(
    *,
    active: bool = True,
    superuser: bool = False,
    permissions: Any = (),
    groups: Any = (),
    token_generation: int = 0,
) -> UserState:
    return UserState(active, superuser, frozenset(permissions), frozenset(groups), token_generation)


def question(case: dict[str, Any]) -> Question:
    def token(name: str) -> RevisionToken | None:
        return RevisionToken.parse(case[name]) if name in case else None

    wanted = case.get("requirement", {"any": ["students.change_student"]})
    if isinstance(wanted, str):
        requirement = Requirement(wanted)  # type: ignore[arg-type]  # from the table
    else:
        own = Own("id") if "owns" in case else None
        ((quantifier, permissions),) = wanted.items()
        requirement = Requirement(quantifier, tuple(permissions), own)
    identity = Identity(case["sub"], "key", 2e9, None, case.get("generation", 0), token("authz_rev"))
    return Question(identity, requirement, token("min_revision"), case.get("owns", False))


def shown(answer: Verdict | Missing | Behind) -> Any:
    """An answer as the table writes it."""
    match answer:
        case Verdict(code=code):
            return str(code)
        case Missing(keys=keys):
            return {"missing": sorted(f"{kind} {key}" for kind, key in keys)}
        case Behind(wanted=wanted, from_claim=from_claim):
            return {"behind": [str(wanted), from_claim]}


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in DOCUMENT["cases"]])
def test_case(case: dict[str, Any]) -> None:
    held = DOCUMENT["held"]
    view = Copy(entities(held["users"], case.get("held_groups", held["groups"])))
    view.age = case.get("staleness", 1.0)
    view.position = case.get("position", POSITION)
    audit = case.get("audit_age", 300.0), case.get("max_audit_age", 1200.0)
    asked = question({"generation": held_generation(case), **case})
    answer = decide(asked, view, view.age, MAX_STALENESS, *audit)
    assert shown(answer) == case["answer"]
    if isinstance(answer, Verdict):
        assert answer.position == view.position
        assert answer.staleness == (view.age if view.position else None)


def held_generation(case: dict[str, Any]) -> int:
    """A token is current unless the case says otherwise."""
    user = DOCUMENT["held"]["users"].get(case["sub"]) or {}
    return int(user.get("token_generation", 0))


def test_the_table_reaches_every_answer() -> None:
    """A code that the decision can give and no case shows is a gap in the table."""
    found = {
        case["answer"] if isinstance(case["answer"], str) else min(case["answer"])
        for case in DOCUMENT["cases"]
    }
    codes = {
        Code.AUTHENTICATED,
        Code.OWN,
        Code.GRANTED,
        Code.SUPERUSER,
        Code.TOKEN_REVOKED,
        Code.SUBJECT_UNKNOWN,
        Code.SUBJECT_INACTIVE,
        Code.PERMISSION_DENIED,
        Code.NOT_READY,
        Code.STALE,
        Code.UNAUDITED,
    }
    assert found == {*codes, "missing", "behind"}


def test_a_denial_names_what_is_needed_and_nothing_of_the_user() -> None:
    view = Copy(entities({"u": {}}, {}))
    verdict = decide(question({"sub": "u"}), view, 1.0, MAX_STALENESS, 0.0, inf)
    assert isinstance(verdict, Verdict)
    assert verdict.detail == "this needs students.change_student"


OLD = MAX_STALENESS + 1.0


@pytest.mark.parametrize("staleness", [OLD, None])
@pytest.mark.parametrize(
    ("user", "losses", "code"),
    [
        ({"permissions": ["students.change_student"]}, 2.0, Code.GRANTED),
        ({"superuser": True}, 2.0, Code.SUPERUSER),
        ({"permissions": ["students.change_student"]}, OLD, Code.STALE),
        ({"permissions": ["students.change_student"]}, None, Code.STALE),
        ({}, 2.0, Code.STALE),
        ({"active": False, "permissions": ["students.change_student"]}, 2.0, Code.STALE),
        ({"token_generation": 1, "permissions": ["students.change_student"]}, 2.0, Code.STALE),
        (None, 2.0, Code.STALE),
    ],
)
def test_who_has_lost_nothing_is_let_through_and_who_may_have_gained_is_not_refused(
    user: dict[str, Any] | None, losses: float | None, staleness: float | None, code: Code
) -> None:
    """All that was lost is known to be here, and what was gained is not."""
    view = Copy(entities({"u": user}, {}))
    found = decide(question({"sub": "u"}), view, staleness, MAX_STALENESS, 0.0, inf, losses)
    assert isinstance(found, Verdict)
    assert found.code == code
    assert not found.allowed or found.staleness == losses


LABELS = st.sampled_from(["a.a", "a.b", "a.c"])
SETS = st.frozensets(LABELS)
GROUPS = st.dictionaries(st.sampled_from("123"), SETS)
USERS = st.builds(
    user_state,
    active=st.booleans(),
    superuser=st.booleans(),
    permissions=SETS,
    groups=st.frozensets(st.sampled_from("123")),
    token_generation=st.integers(0, 1),
)
REQUIREMENTS = st.builds(
    Requirement, st.sampled_from(["any", "all"]), st.lists(LABELS, min_size=1).map(tuple)
)


@given(USERS, GROUPS, REQUIREMENTS)
def test_fetching_what_is_missing_ends_in_the_plain_answer(
    user: UserState, groups: dict[str, frozenset[str]], requirement: Requirement
) -> None:
    """Whatever is at hand at first, the answer is that of a copy that holds everything."""
    whole = {EntityKey("group", key): Entity(EntityKey("group", key), 1, None) for key in "123"}
    for key, labels in groups.items():
        whole[EntityKey("group", key)] = Entity(EntityKey("group", key), 1, GroupState(labels))
    whole[EntityKey("user", "u")] = Entity(EntityKey("user", "u"), 1, user)
    asked = Question(Identity("u", "key", 2e9, None, 0, None), requirement, None)
    view = Copy({})
    for _ in range(3):
        answer = decide(asked, view, view.age, MAX_STALENESS, 0.0, inf)
        if isinstance(answer, Verdict):
            break
        assert isinstance(answer, Missing)
        view.entities |= {key: whole[key] for key in answer.keys}
    assert isinstance(answer, Verdict)
    assert answer.allowed == plainly_allowed(user, groups, requirement)


def plainly_allowed(user: UserState, groups: dict[str, frozenset[str]], requirement: Requirement) -> bool:
    if not user.active or user.token_generation != 0:
        return False
    held = user.permissions.union(*(groups.get(group, frozenset()) for group in user.groups))
    wanted = set(requirement.permissions)
    return user.superuser or (wanted <= held if requirement.quantifier == "all" else bool(wanted & held))


@pytest.mark.parametrize(
    ("generation", "issued_after", "ended", "code"),
    [
        (None, 101.0, 100, Code.AUTHENTICATED),
        (None, 100.0, 100, Code.TOKEN_REVOKED),
        (None, -inf, 100, Code.TOKEN_REVOKED),
        (None, -inf, None, Code.AUTHENTICATED),
        (None, inf, 100, Code.AUTHENTICATED),
        (3, -inf, 100, Code.AUTHENTICATED),
        (2, 101.0, 100, Code.TOKEN_REVOKED),
    ],
)
def test_a_token_without_a_generation_is_judged_by_the_instant_it_was_issued(
    generation: int | None, issued_after: float, ended: int | None, code: Code
) -> None:
    key = EntityKey("user", "u")
    state = UserState(True, False, frozenset(), frozenset(), 3, ended)
    identity = Identity("u", "key", 2e9, None, generation, None, issued_after)
    asked = Question(identity, Requirement("authenticated"), None)
    answer = decide(asked, Copy({key: Entity(key, 1, state)}), 1.0, MAX_STALENESS, 300.0, 1200.0)
    assert isinstance(answer, Verdict)
    assert answer.code is code


@pytest.mark.parametrize(
    ("field", "fields", "expected"),
    [
        ("pk", ("pk", "email"), Code.GRANTED),
        ("email", ("pk", "email"), Code.PERMISSION_DENIED),
        ("email", ("email", "pk"), Code.GRANTED),
        ("uuid", ("pk", "uuid"), Code.SUBJECT_UNKNOWN),
        ("email", ("pk",), Code.USER_FIELD_UNKNOWN),
        ("email", (), Code.USER_FIELD_UNKNOWN),
        ("email", None, Code.GRANTED),
        (None, (), Code.GRANTED),
    ],
)
def test_who_is_meant_depends_on_what_the_issuer_names(
    field: str | None, fields: Fields, expected: Code
) -> None:
    """Two users, of whom one's key is what the other's e-mail address says."""
    states = entities({"17": {"permissions": ["a.b"]}, "email\x1f17": {}}, {})
    states[EntityKey("user", "uuid\x1f17")] = Entity(EntityKey("user", "uuid\x1f17"), 1, None)
    identity = Identity("17", "key", 2e9, None, None, None, user_field=field)
    question = Question(identity, Requirement("any", ("a.b",)), None)
    found = decide(question, Copy(states, fields=fields), 1.0, MAX_STALENESS, 0.0, inf)
    assert isinstance(found, Verdict)
    assert found.code is expected
