"""Which change made a verdict what it is: the recorded changes are taken back one by one, newest first, until
another verdict would have come out.

What a change did is known only as far as a user's history tells it: this explains decisions and makes none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from authz_sidecar.core.decision import decide
from authz_sidecar.core.entities import Entity, EntityKey, EntityState, GroupState, Position, UserState
from authz_sidecar.core.verdicts import UNBOUNDED, Code, Identity, Question, Verdict


@dataclass(frozen=True, slots=True)
class RecordedChange:
    """What somebody did, and the revision that came of it. `at`, `by` and `text` are for people."""

    entity: EntityKey | None
    """`None`: to so many that they are not told one by one."""
    what: str
    """`permission` or `group`, which is `item`; or `active`, `superuser`, `tokens`, `itself`."""
    item: str
    added: bool
    revision: int
    at: str
    by: str
    text: str


@dataclass(frozen=True, slots=True)
class History:
    """What may have changed for a user, the newest first. `whole`: nothing that is known was left out."""

    changes: tuple[RecordedChange, ...]
    whole: bool


@dataclass(frozen=True, slots=True)
class Cause:
    """The change, and the verdict before it; `None`: a change to many, which may have been the one."""

    change: RecordedChange
    before: Code | None


@dataclass(frozen=True, slots=True)
class Then:
    """Implements `core.decision.View`. Groups that are not here give nothing. Subjects are keys."""

    position: Position
    states: Mapping[EntityKey, EntityState]

    def entity(self, key: EntityKey) -> Entity | None:
        return Entity(key, 0, self.states.get(key))

    def user(self, identity: Identity) -> EntityKey | None:
        return EntityKey("user", identity.subject)

    def code(self, question: Question) -> Code | None:
        """The verdict's; `None` where there is none at this position."""
        found = decide(question, self, 0.0, UNBOUNDED, 0.0, UNBOUNDED)
        return found.code if isinstance(found, Verdict) else None


def last(question: Question, now: Then, history: History) -> Cause | None:
    """`None` when nothing that is recorded made it so."""
    code = now.code(question)
    if code is not Code.TOKEN_REVOKED:  # of a user who was deleted nobody knows which tokens were good
        identity = replace(question.identity, token_generation=None, issued_after=UNBOUNDED)
        question = question._replace(identity=identity)
    states = dict(now.states)
    for made_together in _by_revision(history.changes, now.position.revision):
        many = next((change for change in made_together if change.entity is None), None)
        if many is not None:
            return Cause(many, None)
        first: RecordedChange | None = None
        before = code
        for change in made_together:
            _take_back(change, states)
            before = Then(now.position, states).code(question)
            if first is None and before is not code:
                first = change
        if first is not None and before is not None and before is not code:
            return Cause(first, before)
    return None


def _by_revision(changes: Iterable[RecordedChange], newest: int) -> Iterator[list[RecordedChange]]:
    """What one revision brought took effect together. Those after the `newest` that is known are left out."""
    together: list[RecordedChange] = []
    for change in changes:
        if change.revision > newest:
            continue
        if together and together[0].revision != change.revision:
            yield together
            together = []
        together.append(change)
    if together:
        yield together


def _take_back(change: RecordedChange, states: dict[EntityKey, EntityState]) -> None:
    key = change.entity
    if key is None:
        return
    if change.what == "itself":
        states[key] = None if change.added else _empty(key)
        return
    state = states.get(key)
    if isinstance(state, GroupState) and change.what == "permission":
        states[key] = GroupState(_without(state.permissions, change))
    elif isinstance(state, UserState):
        states[key] = _user_before(state, change)


def _user_before(state: UserState, change: RecordedChange) -> UserState:
    if change.what == "active":
        return replace(state, active=not change.added)
    if change.what == "superuser":
        return replace(state, superuser=not change.added)
    if change.what == "tokens":
        return replace(state, token_generation=state.token_generation - 1, tokens_not_before=None)
    if change.what == "group":
        return replace(state, groups=_without(state.groups, change))
    return replace(state, permissions=_without(state.permissions, change))


def _without(held: frozenset[str], change: RecordedChange) -> frozenset[str]:
    return held - {change.item} if change.added else held | {change.item}


def _empty(key: EntityKey) -> EntityState:
    if key.kind == "group":
        return GroupState(frozenset())
    return UserState(True, False, frozenset(), frozenset(), token_generation=0)
