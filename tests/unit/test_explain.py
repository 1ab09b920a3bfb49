"""Why a request is let through or refused: rule, grant or what is missing, and how fresh that is."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import Any

import pytest

from authz_sidecar.core import policy
from authz_sidecar.core.causes import History, RecordedChange
from authz_sidecar.core.decision import decide
from authz_sidecar.core.entities import Entity, EntityKey, GroupState, Position, UserState
from authz_sidecar.core.errors import Refused, Unavailable
from authz_sidecar.core.naming import Fields, entity_key
from authz_sidecar.core.policy import RuleSource
from authz_sidecar.core.ports import Pending
from authz_sidecar.core.verdicts import Code, Identity, Question, Requirement, Verdict
from authz_sidecar.explain import Asked, Explainer, Groups, Historian
from authz_sidecar.pipeline import Pipeline

CHANGE, VIEW = "students.change_student", "students.view_student"
RULES = policy.compile(
    [
        RuleSource("p:1", ("PATCH",), "/students/{id}/", Requirement("any", (CHANGE,))),
        RuleSource("p:2", ("DELETE",), "/students/{id}/", Requirement("all", (CHANGE, VIEW))),
        RuleSource("p:3", ("POST",), "/hooks/", Requirement("anyone")),
    ]
)
HERE = Position("3f2a9c1b-5d44-4b0e-9c07-6a1f7f0e8d21", 42, None)


class Clock:
    def monotonic(self) -> float:
        return 7.0

    def wall(self) -> float:
        return 0.0


def user(*permissions: str, groups: tuple[str, ...] = (), **state: bool) -> UserState:
    return UserState(
        state.get("active", True), state.get("superuser", False), frozenset(permissions), frozenset(groups), 0
    )


@dataclass
class World:
    """View, authorizer, authenticator and holdings in one."""

    position: Position = HERE
    users: dict[str, UserState] = field(default_factory=dict)
    states: dict[str, GroupState] = field(default_factory=dict)
    whole: bool = True
    waits: int = 0
    fields: Fields = ("pk",)

    def entity(self, key: EntityKey) -> Entity | None:
        states: Any = self.users if key.kind == "user" else self.states
        return Entity(key, 40, states.get(key.key))

    def user(self, identity: Identity) -> EntityKey | None:
        return entity_key(identity, self.fields)

    def authorize(self, question: Question, now: float) -> Verdict | Pending:
        if self.waits:
            self.waits -= 1
            return self._fill
        found = decide(question, self, 0.25, 30.0, 0.0, inf)
        assert isinstance(found, Verdict)
        return found

    async def _fill(self) -> None: ...

    def authenticate(self, token: bytes, now: float) -> Identity:
        if token != b"ann's":
            raise Refused(Code.TOKEN_INVALID, "the access token has a bad signature")
        return Identity("ann", "k", inf, None, None, None)

    async def groups(self) -> Groups:
        return Groups(self.states, self.whole)


def explainer(world: World, *, enforced: bool = True) -> Explainer:
    pipeline = Pipeline(RULES, world, world, Clock(), enforced=enforced)
    return Explainer(lambda: pipeline, world)


GROUPS = {
    "3": GroupState(frozenset({CHANGE})),
    "5": GroupState(frozenset({CHANGE, VIEW})),
    "7": GroupState(frozenset()),
}


@pytest.mark.parametrize(
    ("held", "method", "code", "permissions"),
    [
        (user(CHANGE), "PATCH", "granted", [(CHANGE, True, [], ["3", "5"])]),
        (user(groups=("3", "7")), "PATCH", "granted", [(CHANGE, False, ["3"], ["5"])]),
        (user(groups=("7",)), "PATCH", "permission_denied", [(CHANGE, False, [], ["3", "5"])]),
        (
            user(groups=("3",)),
            "DELETE",
            "permission_denied",
            [(CHANGE, False, ["3"], ["5"]), (VIEW, False, [], ["5"])],
        ),
        (user(superuser=True), "PATCH", "superuser", [(CHANGE, False, [], ["3", "5"])]),
        (user(CHANGE, active=False), "PATCH", "subject_inactive", [(CHANGE, True, [], ["3", "5"])]),
    ],
)
@pytest.mark.parametrize("asked_by", [{"subject": "ann"}, {"token": b"ann's"}])
async def test_the_grant_or_what_is_missing_and_which_groups_would_give_it(
    held: UserState, method: str, code: str, permissions: list[Any], asked_by: dict[str, Any]
) -> None:
    world = World(users={"ann": held}, states=GROUPS, waits=2)
    found = await explainer(world).explain(Asked(method, b"/students/3/", **asked_by))
    assert (found["code"], found["subject"], found["allowed"]) == (
        code,
        "ann",
        code in {"granted", "superuser"},
    )
    assert found["rule"]["rule"] == f"{method} /students/{{id}}/"
    assert (found["revision"], found["staleness"]) == ("3f2a9c1b.42", 0.25)
    assert found["policy"] == RULES.digest
    assert found["user"]["changed_at_revision"] == 40
    assert [
        (each["permission"], each["direct"], each["through_groups"], each["other_groups_with_it"])
        for each in found["permissions"]
    ] == permissions


@pytest.mark.parametrize(
    ("asked", "code", "status"),
    [
        (Asked("PATCH", b"/students/3/"), "token_missing", 401),
        (Asked("PATCH", b"/students/3/", token=b"forged"), "token_invalid", 401),
        (Asked("PATCH", b"/students/3/", subject="nobody"), "subject_unknown", 401),
        (Asked("PATCH", b"/students/3", subject="ann"), "no_rule", 403),
        (Asked("POST", b"/hooks/", subject="ann"), "anyone", 0),
        (Asked("GET", b"/students/3/", subject="ann"), "safe_method", 0),
        (Asked("PATCH", b"/a/../b/", subject="ann"), "bad_target", 400),
        (Asked("TRACE", b"/", subject="ann"), "method_refused", 405),
    ],
)
async def test_steps_before_the_grant_are_those_of_any_request(asked: Asked, code: str, status: int) -> None:
    found = await explainer(World(users={"ann": user(CHANGE)})).explain(asked)
    assert (found["code"], found["status"], found["enforced"]) == (code, status, True)
    assert "forged" not in str(found)


async def test_rules_that_nearly_counted_are_told() -> None:
    found = await explainer(World()).explain(Asked("PATCH", b"/students/3", subject="ann"))
    assert found["closest"] == [
        {
            "rule": "PATCH /students/{id}/",
            "place": "p:1",
            "requires": CHANGE,
            "why": "its path ends in a slash",
        }
    ]


async def test_shadow_mode_changes_the_consequence_not_the_answer() -> None:
    found = await explainer(World(users={"ann": user()}), enforced=False).explain(
        Asked("PATCH", b"/students/3/", subject="ann")
    )
    assert (found["allowed"], found["code"], found["enforced"]) == (False, "permission_denied", False)


async def test_where_grants_are_not_kept_none_are_told() -> None:
    pipeline = explainer(World(users={"ann": user(CHANGE)})).pipeline()
    found = await Explainer(lambda: pipeline, None).explain(Asked("PATCH", b"/students/3/", subject="ann"))
    assert found["code"] == "granted"
    assert "permissions" not in found


JOINED = RecordedChange(
    EntityKey("user", "ann"), "group", "3", True, 41, "2026-11-26T09:00:00Z", "boss", "+ …"
)


@dataclass
class Told:
    """Implements `explain.Historian`."""

    history_: History | Exception | None
    asked: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)

    async def history(self, sub: str, permissions: Any) -> History | None:
        self.asked.append((sub, tuple(permissions)))
        if isinstance(self.history_, Exception):
            raise self.history_
        return self.history_


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        (History((JOINED,), whole=True), ("3f2a9c1b.41", "boss", "permission_denied", None)),
        (History((), whole=True), "tells of no change that made it so"),
        (None, "is not kept by the User service"),
        (Unavailable("User service at h:1: no answer"), "cannot be asked: User service at h:1: no answer"),
    ],
)
async def test_who_made_it_so(history: Any, expected: Any) -> None:
    world, told = World(users={"ann": user(groups=("3",))}, states=GROUPS), Told(history)
    historian: Historian = told
    pipeline = explainer(world).pipeline()
    found = await Explainer(lambda: pipeline, world, historian).explain(
        Asked("PATCH", b"/students/3/", subject="ann")
    )
    assert told.asked == [("ann", (CHANGE,))]
    if isinstance(expected, str):
        assert (found["last_change"], found["history"]) == (None, expected)
    else:
        change = found["last_change"]
        assert (change["revision"], change["by"], change["before"], found["history"]) == expected


@pytest.mark.parametrize(
    "asked",
    [
        Asked("PATCH", b"/students/3", subject="ann"),
        Asked("PATCH", b"/students/3/", token=b"forged"),
        Asked("PATCH", b"/students/3/"),
    ],
)
async def test_the_history_is_not_asked_where_it_decides_nothing(asked: Asked) -> None:
    world, told = World(users={"ann": user()}), Told(None)
    pipeline = explainer(world).pipeline()
    await Explainer(lambda: pipeline, world, told).explain(asked)
    assert told.asked == []


@pytest.mark.parametrize(
    ("subject", "field", "code"),
    [
        ("ann", None, "permission_denied"),
        ("ann", "pk", "permission_denied"),
        ("ann", "email", "granted"),
        ("ann", "uuid", "user_field_unknown"),
        ("bob", "email", "subject_unknown"),
    ],
)
async def test_whom_a_name_names_depends_on_the_field(subject: str, field: str | None, code: str) -> None:
    world = World(users={"ann": user(), "email\x1fann": user(CHANGE)}, fields=("pk", "email"))
    found = await explainer(world).explain(Asked("PATCH", b"/students/3/", subject, user_field=field))
    assert (found["code"], found["subject"]) == (code, subject)
    known = code in ("granted", "permission_denied")
    assert [each["direct"] for each in found.get("permissions", [])] == [code == "granted"] * known


async def test_the_last_change_is_asked_for_by_what_the_log_calls_the_user() -> None:
    asked_for: list[str] = []

    class Asking:
        async def history(self, sub: str, permissions: Any) -> History | None:
            asked_for.append(sub)
            key = EntityKey("user", sub)
            change = RecordedChange(key, "permission", CHANGE, False, 30, "at", "admin", "- it")
            return History((change,), True)

    world = World(users={"email\x1fann": user()}, fields=("pk", "email"))
    explains = Explainer(explainer(world).pipeline, world, Asking())
    found = await explains.explain(Asked("PATCH", b"/students/3/", "ann", user_field="email"))
    assert asked_for == ["email\x1fann"]
    assert found["last_change"]["before"] == "granted"
