"""Who may do what, at one revision: a pure function over what the near cache holds.

`decide` reads everything at the position the view names. If it lacks something it says what, the
caller fetches it, and the decision starts again from the beginning, so every verdict is exactly
right at the revision it names.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from authz_sidecar.core.entities import Entity, EntityKey, GroupState, Position, RevisionToken, UserState
from authz_sidecar.core.verdicts import FORWARDED, Code, Identity, Question, Requirement, Verdict


class View(Protocol):
    """What this process decides by."""

    @property
    def position(self) -> Position | None:
        """The newest revision applied here; `None` before the first."""

    def entity(self, key: EntityKey) -> Entity | None:
        """The entity at `position`; `None` when it is not at hand (which says nothing about it)."""

    def user(self, identity: Identity) -> EntityKey | None:
        """What the entity of who asks is called at `position` (`core.naming`)."""


@dataclass(frozen=True, slots=True)
class Missing:
    """The decision needs these entities."""

    keys: tuple[EntityKey, ...]


@dataclass(frozen=True, slots=True)
class Behind:
    """The decision needs a newer revision, or another history, than the one at hand."""

    wanted: RevisionToken
    from_claim: bool
    """Whether the access token asked for it (else the request's own header did)."""


def decide(
    question: Question,
    view: View,
    staleness: float | None,
    max_staleness: float,
    audit_age: float,
    max_audit_age: float,
    losses_staleness: float | None = None,
) -> Verdict | Missing | Behind:
    """Decide at the view's position. The other arguments are those of `stand`, but for the last.

    `losses_staleness`: seconds since the newest proof that nothing is missing here which somebody *lost*; at
    most `staleness`, and as that where it is not given. To let somebody through it is enough. Who is refused
    may have gained by now what he lacks here: while that is not proved, he is not told that he lacks it.
    """
    least = staleness if losses_staleness is None else losses_staleness
    position = stand(view, least, max_staleness, audit_age, max_audit_age)
    if isinstance(position, Verdict):
        return position
    behind = _behind(question, position)
    if behind is not None:
        return behind
    found = _judge(question, view)
    if isinstance(found, Missing):
        return found
    if found in FORWARDED:
        return Verdict(found, "", position, least)
    if _too_old(staleness, max_staleness):
        return _stale(position, staleness)
    return Verdict(found, _detail(found, question.requirement), position, staleness)


def stand(
    view: View, staleness: float | None, max_staleness: float, audit_age: float, max_audit_age: float
) -> Position | Verdict:
    """Where decisions are made now; or why none can be made, whoever asks.

    `staleness`: seconds since the view's newest proof; `None` without one. `audit_age`: seconds since all of
    the log had been compared with the tables it is made from.
    """
    position = view.position
    if position is None:
        return Verdict(Code.NOT_READY, "no copy of the permissions has been loaded yet")
    if _too_old(staleness, max_staleness):
        return _stale(position, staleness)
    if audit_age > max_audit_age:
        return Verdict(Code.UNAUDITED, "the log of permissions was not audited in time", position, staleness)
    return position


def _too_old(staleness: float | None, max_staleness: float) -> bool:
    return staleness is None or staleness > max_staleness


def _stale(position: Position, staleness: float | None) -> Verdict:
    return Verdict(Code.STALE, "the copy of the permissions is too old", position, staleness)


def _behind(question: Question, position: Position) -> Behind | None:
    asked, claimed = question.min_revision, question.identity.min_revision
    if asked is not None and not _includes(position, asked):
        return Behind(asked, from_claim=False)
    if claimed is not None and not _includes(position, claimed):
        return Behind(claimed, from_claim=True)
    return None


def _includes(position: Position, wanted: RevisionToken) -> bool:
    return position.revision >= wanted.revision and position.epoch.startswith(wanted.epoch8)


def _judge(question: Question, view: View) -> Code | Missing:
    key = view.user(question.identity)
    if key is None:
        return Code.USER_FIELD_UNKNOWN
    entity = view.entity(key)
    if entity is None:
        return Missing((key,))
    user = entity.state
    if not isinstance(user, UserState):
        return Code.SUBJECT_UNKNOWN
    return _dead(user, question.identity) or _grant(user, question, view)


def _dead(user: UserState, identity: Identity) -> Code | None:
    """Why a verified token is nevertheless void."""
    if not user.active:
        return Code.SUBJECT_INACTIVE
    generation, ended = identity.token_generation, user.tokens_not_before
    if generation is None:
        revoked = ended is not None and identity.issued_after <= ended
    else:
        revoked = generation != user.token_generation
    return Code.TOKEN_REVOKED if revoked else None


def _grant(user: UserState, question: Question, view: View) -> Code | Missing:
    requirement = question.requirement
    if requirement.quantifier == "authenticated":
        return Code.AUTHENTICATED
    if requirement.own is not None:
        decided = by_ownership(requirement, owns=question.owns)
        if decided is not None:
            return decided
    if user.superuser:
        return Code.SUPERUSER
    if _satisfied(requirement, user.permissions):
        return Code.GRANTED
    held = set(user.permissions)
    missing = []
    for key in _group_keys(user.groups):
        group = view.entity(key)
        if group is None:
            missing.append(key)
        elif isinstance(group.state, GroupState):
            held |= group.state.permissions
    if _satisfied(requirement, held):
        return Code.GRANTED
    return Missing(tuple(missing)) if missing else Code.PERMISSION_DENIED


def by_ownership(requirement: Requirement, *, owns: bool) -> Code | None:
    """What follows for any living user from what is theirs; `None`: the permissions decide."""
    if requirement.quantifier == "all":
        return None if owns else Code.PERMISSION_DENIED
    if owns:
        return Code.OWN
    return None if requirement.permissions else Code.PERMISSION_DENIED


def _group_keys(groups: Iterable[str]) -> list[EntityKey]:
    return [EntityKey("group", group) for group in groups]


def _satisfied(requirement: Requirement, held: frozenset[str] | set[str]) -> bool:
    wanted = requirement.permissions
    if requirement.quantifier == "all":
        return bool(wanted) and held.issuperset(wanted)
    return not held.isdisjoint(wanted)


USER_FIELD_UNKNOWN = "the User service does not name its users by what this token names them by"

_DETAILS = {
    Code.SUBJECT_UNKNOWN: "there is no such user",
    Code.SUBJECT_INACTIVE: "this user is deactivated",
    Code.TOKEN_REVOKED: "this token was issued before its user signed out everywhere or was deactivated",
    Code.USER_FIELD_UNKNOWN: USER_FIELD_UNKNOWN,
}


def _detail(code: Code, requirement: Requirement) -> str:
    if code is Code.PERMISSION_DENIED:
        return f"this needs {requirement}"
    return _DETAILS.get(code, "")
