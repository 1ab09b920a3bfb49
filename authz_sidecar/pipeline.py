"""The decision path in one page, and the only place that concludes a decision.

A request is decided in four steps: target, rule, authenticate, authorize. What is under way is decided again
when permissions or rules change, and others may ask whether a subject meets a requirement.

Nothing here does I/O. A step that lacks something returns what to wait for, and the decision then starts
again from the beginning, so that it never rests half on what was known before the wait and half on later.
The same holds for the policy: another may be put into force between any two steps of the event loop, and each
decision is by the one that it names.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from math import inf

from authz_sidecar.codes import TABLE
from authz_sidecar.core import headers, target
from authz_sidecar.core.bearer import TokenPlaces
from authz_sidecar.core.entities import RevisionToken
from authz_sidecar.core.errors import Refused
from authz_sidecar.core.policy import Policy
from authz_sidecar.core.ports import Authenticator, Authorizer, Clock, Pending
from authz_sidecar.core.rules import MUTATING_METHODS, SAFE_METHODS, Rule
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

KNOWN_METHODS = SAFE_METHODS | MUTATING_METHODS
REFUSED_METHODS = frozenset({"CONNECT", "TRACE"})

MAX_ROUNDS = 8
"""Each round waits for something the one before lacked: keys, a revision, a user, its groups."""
RESTLESS = Verdict(Code.GRANTS_UNKNOWN, "the permissions changed faster than they could be read")

ALIVE = Requirement("authenticated")
AUTHORIZATION = TokenPlaces()
_OPEN = frozenset({Code.SAFE_METHOD, Code.ANYONE})

Undecided = Callable[[], Awaitable[Decision]]
"""A decision that has to wait: call it once, and await what it returns."""


@dataclass(slots=True)
class _Case:
    """One request on its way through the steps, with what they found out."""

    request: RequestHead
    request_id: str
    policy: Policy
    """By which it is judged."""
    known: Identity | None = None
    """Whose request it is, where that was found out when it came."""
    well_formed: bool = False
    rule: Rule | None = None
    identity: Identity | None = None
    owns: bool | None = None


@dataclass(slots=True)
class Pipeline:
    """Decides. `enforced` is false in shadow mode: decisions are made but never refuse.

    To `policy` another may be assigned at any time; have what is under way reconsidered then.

    What is not a well-formed request is refused in either mode: there is nothing sound to send on.
    """

    policy: Policy
    authenticator: Authenticator
    authorizer: Authorizer
    clock: Clock
    token_places: TokenPlaces = AUTHORIZATION
    enforced: bool = True
    identifies: bool = False
    """Whether who asks is found out, too, where nobody needs to be known: the service is told."""
    unnamed_host: str = ""
    """The host of a request that names none: what it is sent on with."""

    def decide(self, request: RequestHead, request_id: str) -> Decision | Undecided:
        """The decision on a request, at once where nothing has to be waited for."""
        case = _Case(request, request_id, self.policy)
        found = self._judge(case)
        if isinstance(found, Verdict):
            return self._conclude(case, found)
        return partial(self._decide_later, case, found)

    def reconsider(self, decision: Decision, request: RequestHead) -> Decision | Undecided:
        """Decide again on a request that `decision` let through.

        That decision while it still holds, what another policy makes of it, or its revocation.
        """
        if decision.policy != self.policy.digest:
            return self._match_anew(decision, request)
        identity, requirement = decision.identity, decision.requirement
        if identity is None or requirement is None or not decision.rests_on_token:
            return decision
        question = Question(identity, requirement, None, decision.owns is True)
        found = self._authorize(question)
        if isinstance(found, Verdict):
            return _revised(decision, found)
        return partial(self._reconsider_later, decision, request, question, found)

    def expired(self, decision: Decision) -> Decision:
        """What becomes of a decision when the token that it rests on has expired."""
        return _revised(decision, Verdict(Code.TOKEN_EXPIRED, "the access token has expired"))

    async def evaluate(
        self,
        subject: str,
        requirement: Requirement,
        request_id: str,
        min_revision: RevisionToken | None = None,
        *,
        owns: bool = False,
        user_field: str | None = None,
    ) -> Decision:
        """Whether a subject meets a requirement: the answer to a question that comes without a request."""
        identity = Identity(subject, "", inf, None, None, None, issued_after=inf, user_field=user_field)
        question = Question(identity, requirement, min_revision, owns)
        found = self._authorize(question)
        if not isinstance(found, Verdict):
            found = await _settle(found, partial(self._authorize, question))
        status = 0 if found.allowed else TABLE[found.code].status
        return Decision(
            request_id, "", "", found, status, None, requirement, identity, policy=self.policy.digest
        )

    async def _decide_later(self, case: _Case, pending: Pending) -> Decision:
        again = partial(self._judge, case)
        verdict = await _settle(pending, again)
        while case.policy is not self.policy:
            found = again()
            verdict = found if isinstance(found, Verdict) else await _settle(found, again)
        return self._conclude(case, verdict)

    async def _reconsider_later(
        self, decision: Decision, request: RequestHead, question: Question, pending: Pending
    ) -> Decision:
        verdict = await _settle(pending, partial(self._authorize, question))
        if decision.policy == self.policy.digest:
            return _revised(decision, verdict)
        found = self._match_anew(decision, request)
        return found if isinstance(found, Decision) else await found()

    def _match_anew(self, decision: Decision, request: RequestHead) -> Decision | Undecided:
        """All steps by the policy that is in force now; who was authenticated when it came still is."""
        case = _Case(request, decision.request_id, self.policy, decision.identity)
        found = self._judge(case)
        if isinstance(found, Verdict):
            return _continued(self._conclude(case, found))
        return partial(self._match_later, case, found)

    async def _match_later(self, case: _Case, pending: Pending) -> Decision:
        return _continued(await self._decide_later(case, pending))

    def _conclude(self, case: _Case, verdict: Verdict) -> Decision:
        request, rule = case.request, case.rule
        enforced = (self.enforced and not (rule is not None and rule.shadow)) or not case.well_formed
        return Decision(
            case.request_id,
            request.method,
            request.target.decode("latin-1"),
            verdict,
            0 if verdict.code in FORWARDED or not enforced else TABLE[verdict.code].status,
            rule.label if rule else None,
            rule.requirement if rule else None,
            case.identity,
            enforced,
            case.policy.digest,
            websocket=request.upgrade,
            owns=case.owns,
            host=self._host(request) if case.policy.by_host else None,
        )

    def _host(self, request: RequestHead) -> str:
        """As rules name it; without a Host field, the one that the request is sent on with."""
        return headers.host(request.fields) if b"host" in request.fields.known else self.unnamed_host

    # the steps

    def _judge(self, case: _Case) -> Verdict | Pending:
        """All steps, from the beginning."""
        case.policy, case.well_formed, case.rule = self.policy, False, None
        case.identity, case.owns = None, None
        try:
            found = self._steps(case)
        except Refused as refusal:
            return Verdict(refusal.code, refusal.detail)
        if self.identifies and isinstance(found, Verdict) and found.code in _OPEN:
            return self._identify(case, found)
        return found

    def _steps(self, case: _Case) -> Verdict | Pending:
        request = case.request
        self._check_form(request)
        case.well_formed = True
        policy = self.policy
        rules = policy.at(self._host(request)) if policy.by_host else policy.elsewhere
        if not rules.governs(request.method):
            return self._unmatched(request)
        path = target.path(request.target)
        rule = rules.match(request.method, path)
        if rule is None or (request.upgrade and not rules.for_changes):
            return self._unmatched(request)
        case.rule = rule
        if rule.requirement.quantifier == "anyone":
            return Verdict(Code.ANYONE)
        if case.known is not None:
            case.identity = case.known
            return self._authorize(_question(case, rule, case.known, path, None))
        token = self.token_places.token(request)
        identity = self.authenticator.authenticate(token, self.clock.wall())
        if not isinstance(identity, Identity):
            return identity
        case.identity = identity
        return self._authorize(_question(case, rule, identity, path, headers.min_revision(request.fields)))

    def _check_form(self, request: RequestHead) -> None:
        """What no request may have, whether or not a rule applies to it."""
        if request.method not in KNOWN_METHODS:
            if request.method in REFUSED_METHODS:
                raise Refused(Code.METHOD_REFUSED, f"{request.method} is not proxied")
            raise Refused(Code.METHOD_UNKNOWN, "this method is not implemented")
        target.check_form(request.target, request.method)
        places = self.token_places
        headers.check(
            request.fields,
            request.method,
            safe=request.method in SAFE_METHODS,
            token_header=places.header,
            allow_method_override=self.policy.allow_method_override,
        )
        if places.elsewhere:
            places.check(request)

    def _unmatched(self, request: RequestHead) -> Verdict:
        if request.upgrade:  # what goes on behind a GET is no GET
            return Verdict(Code.WEBSOCKET_NO_RULE, "no rule allows this WebSocket")
        if request.method in SAFE_METHODS:
            return Verdict(Code.SAFE_METHOD)
        if self.policy.by_host and self._host(request) not in self.policy.by_host:
            return Verdict(Code.NO_RULE, "no rule names this host")
        return Verdict(Code.NO_RULE, "no rule allows this")

    def _identify(self, case: _Case, verdict: Verdict) -> Verdict | Pending:
        """Who asks, where nobody has to be known: a token that is not known to be good names nobody."""
        try:
            found = self._alive(case)
        except Refused:
            return verdict
        if isinstance(found, Verdict):
            return _identified(case, verdict, found)
        return partial(self._identify_later, case, verdict, found)

    async def _identify_later(self, case: _Case, verdict: Verdict, pending: Pending) -> Verdict:
        try:
            found = await _settle(pending, partial(self._alive, case))
        except Refused:
            case.identity = None
            return verdict
        return _identified(case, verdict, found)

    def _alive(self, case: _Case) -> Verdict | Pending:
        """Whether the token is that of a user who may act. Raises Refused."""
        case.identity = case.known
        if case.identity is None:
            token = self.token_places.token(case.request)
            identity = self.authenticator.authenticate(token, self.clock.wall())
            if not isinstance(identity, Identity):
                return identity
            case.identity = identity
        return self._authorize(Question(case.identity, ALIVE, None))

    def _authorize(self, question: Question) -> Verdict | Pending:
        return self.authorizer.authorize(question, self.clock.monotonic())


def _question(
    case: _Case, rule: Rule, identity: Identity, path: str, min_revision: RevisionToken | None
) -> Question:
    """What is left to be decided by what the user holds. Raises Refused where the token alone decides."""
    wants = rule.requirement
    if wants.scopes and not identity.scopes.issuperset(wants.scopes):
        raise Refused(Code.INSUFFICIENT_SCOPE, f"this needs a token with scope {' '.join(wants.scopes)}")
    if wants.own is None:
        return Question(identity, wants, min_revision)
    case.owns = rule.owned_by(identity, path)
    return Question(identity, wants, min_revision, case.owns)


def _identified(case: _Case, verdict: Verdict, found: Verdict) -> Verdict:
    """The verdict on a request that passes anyway; `found` is the one on who asks."""
    if found.allowed:
        return verdict._replace(position=found.position, staleness=found.staleness)
    case.identity = None
    return verdict


async def _settle(pending: Pending, again: Callable[[], Verdict | Pending]) -> Verdict:
    """Wait for what a decision lacks and decide `again`, until there is a verdict."""
    for _ in range(MAX_ROUNDS):
        verdict = await pending()
        found = again() if verdict is None else verdict
        if isinstance(found, Verdict):
            return found
        pending = found
    return RESTLESS


def _revised(decision: Decision, verdict: Verdict) -> Decision:
    """What becomes of a decision when its question has this verdict now."""
    if verdict.allowed or not decision.enforced:
        return decision
    return decision._replace(verdict=verdict, status=TABLE[verdict.code].status, revoking=True)


def _continued(decision: Decision) -> Decision:
    """A decision on what is under way already: it goes on, or is revoked."""
    return decision if decision.forward else decision._replace(revoking=True)
