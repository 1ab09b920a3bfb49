"""What the judge of schedules finds wrong with a history, and what it does not."""

import json
from dataclasses import replace

import pytest

from lab.schedules.history import Claim, Commit, History, Revision
from lab.schedules.judge import judge
from lab.schedules.product import Entities, applied
from lab.schedules.schedule import parse
from lab.schedules.world import State, User

HOLDS, LOST = frozenset({"a.read"}), frozenset[str]()
ANN = User(active=True, superuser=False, permissions=HOLDS, groups=frozenset({"3"}), generation=0)
BEGIN = State({"1": ANN}, {"3": HOLDS})
WITHOUT = replace(ANN, permissions=LOST)
"""She holds nothing herself."""
ALONE = replace(ANN, groups=frozenset())
"""She is in no group."""


def said(kind: str, key: str, state: User | frozenset[str] | None) -> dict[str, object]:
    if isinstance(state, User):
        body: object = {
            "active": state.active,
            "superuser": state.superuser,
            "permissions": sorted(state.permissions),
            "groups": sorted(state.groups),
            "token_generation": state.generation,
        }
    else:
        body = None if state is None else {"permissions": sorted(state)}
    return {"kind": kind, "key": key, "state": body}


def logged(*entities: tuple[str, str, User | frozenset[str] | None]) -> str:
    return json.dumps([said(*entity) for entity in entities])


def history(*states: State, revisions: list[str], told: dict[int, int], limit: int | None = 8) -> History:
    """One commit for each state; `told`: by revision, of which commit it was said to contain it."""
    schedule = replace(parse("postgresql a=grant:rc+ r=run |"), limit=limit)
    begin: Entities = applied({}, logged(("user", "1", ANN), ("group", "3", HOLDS)))
    made = History(schedule, 1, begin, [Commit("nobody", BEGIN), *(Commit("a", state) for state in states)])
    entities = begin
    for number, revision in enumerate(revisions, 2):
        made.revisions.append(Revision(number, revision, len(states)))
        entities = applied(entities, revision)
    made.claims += [Claim("grant (a)", revision, commit, own=True) for revision, commit in told.items()]
    made.claims.append(Claim("the end", len(revisions) + 1, len(states)))
    made.kept = entities
    return made


LOSES, LEAVES = (
    State({"1": WITHOUT}, {"3": HOLDS}),
    State({"1": replace(WITHOUT, groups=frozenset())}, {"3": HOLDS}),
)
SAYS_LOST = logged(("user", "1", WITHOUT))
GROUP_GAINS = State({"1": ANN}, {"3": HOLDS | {"a.write"}})
GAINED = logged(("group", "3", HOLDS | {"a.write"}))
NEW_GROUP = State({"1": replace(ANN, groups=frozenset({"3", "4"}))}, {"3": HOLDS, "4": HOLDS})
JOINED = logged(("user", "1", replace(ANN, groups=frozenset({"3", "4"}))))

UNDONE = history(LOSES, BEGIN, revisions=[], told={})
UNDONE.claims.append(Claim("grant (a)", 1, 1, own=True, commits=2))
TOO_EARLY = history(LOSES, BEGIN, revisions=[], told={})
TOO_EARLY.claims.append(Claim("grant (a)", 1, 1, own=True, commits=1))

RIGHT = {
    "it was undone before he was told": UNDONE,
    "all of it": history(LOSES, revisions=[SAYS_LOST], told={2: 1}),
    "a gain": history(GROUP_GAINS, revisions=[GAINED], told={2: 1}),
    "somebody has changed it since": history(
        LOSES, BEGIN, revisions=[logged(("user", "1", ANN))], told={2: 1}
    ),
    "a group that is logged later": history(
        State(BEGIN.users, {"3": HOLDS, "4": HOLDS}),
        NEW_GROUP,
        revisions=[JOINED, logged(("group", "4", HOLDS))],
        told={2: 2},
    ),
}
WRONG = {
    "he was told before it was undone": (TOO_EARLY, "revision 1 lacks a write of which grant (a) was told"),
    "a loss that is not there": (
        history(LOSES, revisions=[logged(("group", "4", None)), SAYS_LOST], told={2: 1}),
        "revision 2 lacks a write of which grant (a) was told",
    ),
    "a gain that is not there": (
        history(GROUP_GAINS, revisions=[logged(("group", "4", None)), GAINED], told={2: 1}),
        "revision 2 lacks a write of which grant (a) was told",
    ),
    "a loss that is not there while an older one is pending": (
        history(
            State({"1": ALONE}, {"3": HOLDS}),
            LEAVES,
            revisions=[logged(("group", "4", None)), logged(("user", "1", LEAVES.users["1"]))],
            told={2: 2},
        ),
        "revision 2 lacks a write of which grant (a) was told",
    ),
    "what nobody held": (
        history(
            LOSES,
            revisions=[logged(("user", "1", replace(ANN, permissions=HOLDS | {"a.write"}))), SAYS_LOST],
            told={},
        ),
        "shows what was never committed",
    ),
    "a gap": (
        replace(history(LOSES, revisions=[SAYS_LOST], told={}), begin=0),
        "revision 2 follows 0",
    ),
}


@pytest.mark.parametrize("name", RIGHT)
def test_right(name: str) -> None:
    assert judge(RIGHT[name]) == []


@pytest.mark.parametrize("name", WRONG)
def test_wrong(name: str) -> None:
    played, expected = WRONG[name]
    assert [what for what in judge(played) if expected in what]
