"""Which of the recorded changes made a verdict what it is."""

from __future__ import annotations

import pytest

from authz_sidecar.core import causes
from authz_sidecar.core.causes import History, RecordedChange, Then
from authz_sidecar.core.entities import EntityKey, EntityState, GroupState, Position, UserState
from authz_sidecar.core.verdicts import UNBOUNDED, Identity, Question, Requirement

HERE = Position("3f2a9c1b-5d44-4b0e-9c07-6a1f7f0e8d21", 40, None)
ANN, STAFF = EntityKey("user", "ann"), EntityKey("group", "3")
ADD, VIEW = "students.add_student", "students.view_student"


def user(*permissions: str, groups: tuple[str, ...] = (), **state: bool) -> UserState:
    return UserState(
        state.get("active", True), state.get("superuser", False), frozenset(permissions), frozenset(groups), 2
    )


def change(text: str) -> RecordedChange:
    """`7 + permission students.add_student`: to Ann; `of 3`, to that group; `of many`, to many."""
    number, sign, what, *rest = text.split()
    owner = rest[rest.index("of") + 1] if "of" in rest else "ann"
    item = rest[0] if rest and rest[0] != "of" else ""
    entity = {"ann": ANN, "many": None}.get(owner, EntityKey("group", owner))
    return RecordedChange(entity, what, item, sign == "+", int(number), "…", "admin", text)


CASES: list[tuple[str, EntityState, dict[str, tuple[str, ...]], list[str], tuple[str, str | None] | None]] = [
    ("never given", user(), {}, ["1 + itself"], ("1 + itself", "subject_unknown")),
    (
        "given",
        user(ADD),
        {},
        [f"7 + permission {ADD}", "1 + itself"],
        (f"7 + permission {ADD}", "permission_denied"),
    ),
    (
        "taken",
        user(),
        {},
        [f"8 - permission {ADD}", f"7 + permission {ADD}"],
        (f"8 - permission {ADD}", "granted"),
    ),
    (
        "what was given and taken since made no difference",
        user(ADD),
        {"3": (ADD,)},
        ["9 - group 3", "8 + group 3", f"7 + permission {ADD}"],
        (f"7 + permission {ADD}", "permission_denied"),
    ),
    ("by joining", user(groups=("3",)), {"3": (ADD,)}, ["8 + group 3"], ("8 + group 3", "permission_denied")),
    (
        "by what the group was given",
        user(groups=("3",)),
        {"3": (ADD,)},
        [f"9 + permission {ADD} of 3", "8 + group 3"],
        (f"9 + permission {ADD} of 3", "permission_denied"),
    ),
    (
        "by the end of the group",
        user(),
        {},
        ["9 - itself of 3", "9 - group 3", f"9 - permission {ADD} of 3"],
        (f"9 - permission {ADD} of 3", "granted"),
    ),
    (
        "deactivated",
        user(ADD, active=False),
        {},
        ["9 - active", f"7 + permission {ADD}"],
        ("9 - active", "granted"),
    ),
    ("superuser", user(superuser=True), {}, ["9 + superuser"], ("9 + superuser", "permission_denied")),
    ("deleted", None, {}, ["9 - itself", f"9 - permission {ADD}"], ("9 - itself", "granted")),
    ("signed out", user(ADD), {}, ["9 - tokens", f"7 + permission {ADD}"], ("9 - tokens", "granted")),
    (
        "what one revision brought took effect together",
        user(groups=("3",)),
        {"3": (ADD,)},
        ["9 + group 3", f"9 - permission {ADD}", f"5 + permission {ADD}"],
        (f"5 + permission {ADD}", "permission_denied"),
    ),
    (
        "what is newer than what was decided by",
        user(ADD),
        {},
        [f"41 - permission {ADD}", f"7 + permission {ADD}"],
        (f"7 + permission {ADD}", "permission_denied"),
    ),
    ("another permission", user(ADD, VIEW), {}, [f"9 + permission {VIEW}"], None),
    (
        "many at once are not told one by one",
        user(ADD),
        {},
        ["9 + permission of many", f"7 + permission {ADD}"],
        ("9 + permission of many", None),
    ),
    ("nothing recorded", user(ADD), {}, [], None),
]


@pytest.mark.parametrize(
    ("state", "groups", "changes", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_the_last_change_that_mattered(
    state: EntityState,
    groups: dict[str, tuple[str, ...]],
    changes: list[str],
    expected: tuple[str, str | None] | None,
) -> None:
    states: dict[EntityKey, EntityState] = {
        EntityKey("group", key): GroupState(frozenset(held)) for key, held in groups.items()
    }
    generation = 1 if any("tokens" in each for each in changes) else 2
    identity = Identity("ann", "k", UNBOUNDED, None, generation, None)
    question = Question(identity, Requirement("any", (ADD,)), None)
    history = History(tuple(map(change, changes)), whole=True)
    found = causes.last(question, Then(HERE, {**states, ANN: state}), history)
    assert (found and (found.change.text, found.before)) == expected
