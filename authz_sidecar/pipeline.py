"""The decision path in one page: target, rule, authenticate, authorize.

Nothing here does I/O. A step that has to wait returns what to wait for, and the decision then
starts again from the beginning.
"""

from __future__ import annotations

from dataclasses import dataclass

from authz_sidecar.answers import TABLE
from authz_sidecar.core import headers, target
from authz_sidecar.core.errors import Refused
from authz_sidecar.core.policy import MUTATING_METHODS, SAFE_METHODS, Policy, Rule
from authz_sidecar.core.ports import Authenticator, Authorizer, Clock, Pending
from authz_sidecar.core.verdicts import FORWARDED, Code, Decision, Identity, Question, RequestHead, Verdict

KNOWN_METHODS = SAFE_METHODS | MUTATING_METHODS
REFUSED_METHODS = frozenset({"CONNECT", "TRACE"})

MAX_ROUNDS = 8
"""Each round waits for something the one before lacked: keys, a revision, a user, its groups."""


@dataclass(slots=True)
class _Case:
    """One request on its way through the steps, with what they found out."""

    request: RequestHead
    request_id: str
    well_formed: bool = False
    rule: Rule | None = None
    identity: Identity | None = None

    def conclude(self, verdict: Verdict, *, enforced: bool) -> Decision:
        request, rule = self.request, self.rule
        return Decision(
            self.request_id,
            request.method,
            request.target.decode("latin-1"),
            verdict,
            0 if verdict.code in FORWARDED or not enforced else TABLE[verdict.code].status,
            rule.label if rule else None,
            rule.requirement if rule else None,
            self.identity,
            enforced,
        )


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Decides requests. `enforced` is false in shadow mode: decisions are made but never refuse.

    What is not a well-formed request is refused in either mode: there is nothing sound to send on.
    """

    policy: Policy
    authenticator: Authenticator
    authorizer: Authorizer
    clock: Clock
    token_header: bytes = b"authorization"
    enforced: bool = True

    async def decide(self, request: RequestHead, request_id: str) -> Decision:
        """The decision on a request, after all the waiting it takes."""
        rounds = 0
        while not isinstance(found := self.attempt(request, request_id), Decision):
            case, pending = found
            verdict = await pending()
            rounds += 1
            if verdict is None and rounds == MAX_ROUNDS:
                verdict = Verdict(
                    Code.GRANTS_UNKNOWN, "the permissions changed faster than they could be read"
                )
            if verdict is not None:
                return case.conclude(verdict, enforced=self.enforced)
        return found

    def attempt(self, request: RequestHead, request_id: str) -> Decision | tuple[_Case, Pending]:
        """Decide now, or say what to wait for."""
        case = _Case(request, request_id)
        try:
            found = self._steps(case)
        except Refused as refusal:
            found = Verdict(refusal.code, refusal.detail)
        if isinstance(found, Verdict):
            return case.conclude(found, enforced=self.enforced or not case.well_formed)
        return case, found

    def _steps(self, case: _Case) -> Verdict | Pending:
        request = case.request
        self._check_form(request)
        case.well_formed = True
        if not self.policy.governs(request.method):
            return Verdict(Code.SAFE_METHOD)
        case.rule = rule = self.policy.match(request.method, target.path(request.target))
        if rule is None:
            return self._unmatched(request.method)
        if rule.requirement.quantifier == "anyone":
            return Verdict(Code.ANYONE)
        token = headers.bearer_token(request.fields, self.token_header)
        identity = self.authenticator.authenticate(token, self.clock.wall())
        if not isinstance(identity, Identity):
            return identity
        case.identity = identity
        question = Question(identity, rule.requirement, headers.min_revision(request.fields))
        return self.authorizer.authorize(question, self.clock.monotonic())

    def _check_form(self, request: RequestHead) -> None:
        """What no request may have, whether or not a rule applies to it."""
        if request.method not in KNOWN_METHODS:
            if request.method in REFUSED_METHODS:
                raise Refused(Code.METHOD_REFUSED, f"{request.method} is not proxied")
            raise Refused(Code.METHOD_UNKNOWN, "this method is not implemented")
        target.check_form(request.target)
        headers.check(request.fields, allow_method_override=self.policy.allow_method_override)

    def _unmatched(self, method: str) -> Verdict:
        if method in SAFE_METHODS:
            return Verdict(Code.SAFE_METHOD)
        return Verdict(Code.NO_RULE, "no rule allows this")
