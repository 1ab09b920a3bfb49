"""Decisions of the log, made again: by another policy, or without what a group gives.

Each goes through the pipeline once more. What is not there any more is taken from the log: whom the token
named, and why it was refused. What the user held comes from an archive of the permissions, where there is one
that goes back so far.

What a verdict proves
---------------------
Without an archive the logged verdict itself says something: `granted` for any of a and b proves that the user
held a or b, and nothing of c. That needs no rules of inference: the core's own decision is asked in every
*world*, each way to hold the labels that the old rule and the new one name, directly or through the group
that is to be left out, as a superuser or not. Worlds in which it does not come to the logged verdict are
ruled out. If it comes to one and the same new verdict in all others, that is it; else it cannot be known.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain, combinations, product
from math import inf
from typing import Final, NamedTuple, Protocol

from authz_sidecar.core import target
from authz_sidecar.core.decision import View, decide
from authz_sidecar.core.entities import Entity, EntityKey, EntityState, GroupState, Position, UserState
from authz_sidecar.core.errors import Refused
from authz_sidecar.core.fields import of_request
from authz_sidecar.core.policy import Policy
from authz_sidecar.core.verdicts import Code, Decision, Identity, Question, RequestHead, Requirement, Verdict
from authz_sidecar.observe.logged import Logged
from authz_sidecar.observe.redaction import LEFT_OUT
from authz_sidecar.pipeline import Pipeline

MAX_LABELS: Final = 5
"""Of the old and the new rule together: the worlds double, or quadruple, with each."""

MAX_JUDGED: Final = 100_000
"""Different requests whose verdict is remembered."""

_OF_GRANTS: Final = frozenset(
    {Code.AUTHENTICATED, Code.OWN, Code.GRANTED, Code.SUPERUSER, Code.PERMISSION_DENIED}
)
"""What was decided from what the user holds. Any other refusal of somebody known stays what it was."""
_OF_TOKENS: Final = frozenset(
    {Code.TOKEN_MISSING, Code.TOKEN_INVALID, Code.TOKEN_EXPIRED, Code.KEYS_UNKNOWN, Code.CROSS_ORIGIN}
)
_OF_HEADERS: Final = frozenset(
    {Code.BAD_HEADER, Code.LOOKS_LIKE_A_HOOK, Code.METHOD_OVERRIDE, Code.SUBPROTOCOL_MISSING}
)
_TOKEN: Final = (b"Authorization", b"Bearer replayed")
_NOWHERE: Final = Position("00000000-0000-0000-0000-000000000000", 0, None)


class Unknown(StrEnum):
    """Why it cannot be told what would be decided."""

    WHO = "who asked is not in the log, because nothing asked for a token then"
    HELD = "what the user held does not follow from the log; an archive would tell"
    ARCHIVE = "the archive does not hold the revision that it was decided at"
    CLAIMS = "what the token said beyond its subject is not in the log"
    HOST = "which host was asked is not in the log, because no rule named hosts then"
    HEADERS = "which method a header put in place of the request's own is not in the log"
    TARGET = "a part of the path was left out of the log, because it looked like a token"


class Judged(NamedTuple):
    """What would be decided, or why that cannot be known."""

    code: Code | None
    allowed: bool
    rule: str | None
    unknown: Unknown | None = None


class History(Protocol):
    """What users and groups held, as an archive has it."""

    def at(self, position: Position) -> View | None:
        """All entities at that revision; `None` where it is not held."""


class _NotKnown(Exception):
    """Ends a decision for which something is missing."""

    def __init__(self, reason: Unknown) -> None:
        super().__init__(reason)
        self.reason = reason


class Replay:
    """Judges one logged decision after the other, by `policy`."""

    def __init__(
        self, policy: Policy, history: History | None = None, without_group: str | None = None
    ) -> None:
        """`without_group`: the key of a group that gives nothing."""
        self._policy = policy
        self._history = history
        self._personal = any(rule.requirement.own is not None for rule in policy.rules)
        self._judged: dict[tuple[object, ...], Judged] = {}
        self._recorded = _Recorded(history, without_group)
        self._pipeline = Pipeline(policy, self._recorded, self._recorded, _NoClock())

    def judge(self, logged: Logged) -> Judged:
        """What would be decided on that request now, at the revision that it was decided at."""
        if self._history is not None:
            return self._judge(logged)
        asked = (logged.code, logged.method, logged.host, logged.target, logged.requirement, logged.owns)
        # Without a history it does not matter when it was, nor who, unless a rule asks what is their own.
        who = logged.subject if self._personal else logged.subject is None
        known = (*asked, who, logged.websocket)
        if known not in self._judged:
            if len(self._judged) >= MAX_JUDGED:
                self._judged.clear()
            self._judged[known] = self._judge(logged)
        return self._judged[known]

    def _judge(self, logged: Logged) -> Judged:
        if logged.code in _OF_HEADERS:
            return self._of_headers(logged)
        if LEFT_OUT in logged.target:
            return Judged(None, False, None, Unknown.TARGET)
        raw = logged.target.encode("latin-1", "replace")
        if logged.code is Code.BAD_TARGET and _well_formed(raw):  # so it was the query, which is not logged
            return Judged(logged.code, False, None)
        if self._policy.by_host and logged.host is None:
            return Judged(None, False, None, Unknown.HOST)
        self._recorded.logged = logged
        try:
            self._needs_no_more_of_the_token(logged, raw)
            fields = of_request([(b"Host", (logged.host or "replayed").encode("latin-1")), _TOKEN])
            found = self._pipeline.decide(RequestHead(logged.method, raw, fields, "", logged.websocket), "")
        except _NotKnown as error:
            return Judged(None, False, None, error.reason)
        if not isinstance(found, Decision):
            raise TypeError("nothing has to be waited for here")
        return Judged(found.verdict.code, found.verdict.allowed, found.rule)

    def _needs_no_more_of_the_token(self, logged: Logged, raw: bytes) -> None:
        """Raises _NotKnown where the rule asks for scopes that the old one did not find, or for a claim."""
        if logged.subject is None or not _well_formed(raw):
            return
        rule = self._policy.match(logged.method, target.path(raw), logged.host or "")
        if rule is None:
            return
        wants, then = rule.requirement, logged.requirement
        lacked = logged.code is Code.INSUFFICIENT_SCOPE
        if lacked and then is not None and set(then.scopes) <= set(wants.scopes):
            return
        proved = frozenset[str]() if lacked or then is None else frozenset(then.scopes)
        by_claim = wants.own is not None and wants.own.claim is not None
        if lacked or by_claim or not proved.issuperset(wants.scopes):
            raise _NotKnown(Unknown.CLAIMS)

    def _of_headers(self, logged: Logged) -> Judged:
        if logged.code is Code.METHOD_OVERRIDE and self._policy.allow_method_override:
            return Judged(None, False, None, Unknown.HEADERS)
        return Judged(logged.code, False, None)


class _NoClock:
    """Implements `core.ports.Clock`: nothing here depends on it."""

    def monotonic(self) -> float:
        return 0.0

    def wall(self) -> float:
        return 0.0


class _Recorded:
    """Implements `core.ports.Authenticator` and `Authorizer` by what is recorded of one decision."""

    logged: Logged

    def __init__(self, history: History | None, without_group: str | None) -> None:
        self._history = history
        self._without = without_group
        self._follows: dict[tuple[Code, _Asked, _Asked], Code | None] = {}
        self._identities: dict[tuple[str, str | None, tuple[str, ...]], Identity] = {}

    def authenticate(self, token: bytes, now: float) -> Identity:
        logged = self.logged
        subject = logged.subject
        if subject is None:
            if logged.code in _OF_TOKENS:
                raise Refused(logged.code, "")
            raise _NotKnown(Unknown.WHO)
        lacked = logged.code is Code.INSUFFICIENT_SCOPE or logged.requirement is None
        scopes = () if lacked or logged.requirement is None else logged.requirement.scopes
        known = subject, logged.user_field, scopes
        identity = self._identities.get(known)
        if identity is None:
            # Its token was good: had it been void, the logged code would say so.
            proved, field = frozenset(scopes), logged.user_field
            identity = Identity(subject, "", inf, None, None, None, inf, proved, user_field=field)
            self._identities[known] = identity
        return identity

    def authorize(self, question: Question, now: float) -> Verdict:
        logged = self.logged
        if logged.code not in _OF_GRANTS:
            return Verdict(logged.code)
        history, position = self._history, logged.position
        view = history.at(position) if history is not None and position is not None else None
        if view is not None:
            return Verdict(_decided(question, view, self._without))
        then = _Asked(logged.requirement, logged.owns is True)
        asked = (logged.code, then, _Asked(question.requirement, question.owns))
        if asked not in self._follows:
            self._follows[asked] = _follows(*asked, self._without)
        code = self._follows[asked]
        if code is None:
            raise _NotKnown(Unknown.HELD if history is None else Unknown.ARCHIVE)
        return Verdict(code)


class _Asked(NamedTuple):
    """A question as far as it is not about who asks."""

    requirement: Requirement | None
    owns: bool


# what was held


@dataclass(frozen=True, slots=True)
class _Without:
    """Implements `core.decision.View`: another one, in which a group gives nothing."""

    view: View
    group: str

    @property
    def position(self) -> Position | None:
        return self.view.position

    def entity(self, key: EntityKey) -> Entity | None:
        return Entity(key, 0, None) if key == ("group", self.group) else self.view.entity(key)

    def user(self, identity: Identity) -> EntityKey | None:
        return self.view.user(identity)


@dataclass(frozen=True, slots=True)
class _World:
    """Implements `core.decision.View`: one way to hold some labels, directly and through one group."""

    direct: frozenset[str]
    through_group: frozenset[str]
    superuser: bool
    position: Position = _NOWHERE

    def entity(self, key: EntityKey) -> Entity | None:
        state: EntityState = GroupState(self.through_group)
        if key.kind == "user":
            state = UserState(True, self.superuser, self.direct, frozenset({_GROUP}), token_generation=0)
        return Entity(key, 0, state)

    def user(self, identity: Identity) -> EntityKey | None:
        return EntityKey("user", identity.subject)


_GROUP: Final = "group"
_SOMEBODY: Final = Identity("somebody", "", inf, None, None, None, issued_after=inf)


def _decided(question: Question, view: View, without_group: str | None = None) -> Code:
    seen = view if without_group is None else _Without(view, without_group)
    found = decide(question, seen, 0.0, inf, 0.0, inf)
    if not isinstance(found, Verdict):
        raise TypeError("such a view knows every entity")
    return found.code


def _follows(code: Code, before: _Asked, after: _Asked, without: str | None) -> Code | None:
    """The verdict on what is asked `after` of whom `before` gave this code; `None`: that does not follow."""
    then, now = before.requirement, after.requirement
    if then is None or now is None:
        return None
    if before == after and without is None:
        return code
    labels = sorted({*then.permissions, *now.permissions})
    if len(labels) > MAX_LABELS:
        return None
    asked = Question(_SOMEBODY, then, None, before.owns)
    again = Question(_SOMEBODY, now, None, after.owns)
    found = {
        _decided(again, world, without and _GROUP)
        for world in _worlds(labels, grouped=without is not None)
        if _decided(asked, world) is code
    }
    return found.pop() if len(found) == 1 else None


def _worlds(labels: list[str], *, grouped: bool) -> Iterator[_World]:
    subsets = [
        frozenset(each)
        for each in chain.from_iterable(combinations(labels, size) for size in range(len(labels) + 1))
    ]
    through = subsets if grouped else [frozenset[str]()]
    return (_World(*each) for each in product(subsets, through, (False, True)))


def _well_formed(raw: bytes) -> bool:
    try:
        target.path(raw)
    except Refused:
        return False
    return True
