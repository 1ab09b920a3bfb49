"""The decision log's lines, each one JSON object and exactly what `json.dumps` would say.

They are put together from text, because an encoder that is told anew of each field costs more than the
decision. Whatever comes from outside goes through the standard library's own quoting; what is written as
it is are the names of our enumerations, numbers, and parts that were quoted before.
"""

from __future__ import annotations

from json.encoder import encode_basestring_ascii as quoted
from math import inf
from typing import Final

from authz_sidecar.core.entities import Position
from authz_sidecar.core.verdicts import FORWARDED, Answered, Decision, Failure, Identity, Requirement, Verdict
from authz_sidecar.observe.instants import Instants, decimal
from authz_sidecar.observe.redaction import without_tokens

NO_IDENTITY: Final = (
    '"subject": null, "issuer": null, "user_field": null, "token_generation": null, "kid": null'
)
MAX_RULES: Final = 10_000
NO_POSITION: Final = '"epoch": null, "revision": null, "revision_at": null'


class Composer:
    """Makes lines. It remembers the parts that most of them share: each rule's and the newest position's."""

    def __init__(self) -> None:
        self._instants = Instants()
        self._rules: dict[str | None, tuple[Requirement | None, str, str]] = {}
        """By rule: requirement and policy, and what was made from them. Bounded, as policies change."""
        self._position: Position | None = None
        self._position_part = NO_POSITION

    def decision(self, decision: Decision, at: float) -> str:
        """A line, its end included; `at` in Unix seconds."""
        verdict = decision.verdict
        return (
            f'{{"type": "decision", "at": "{self._instants.text(at)}", '
            f'"request_id": {quoted(decision.request_id)}, {_identity_part(decision.identity)}, '
            f'"method": {quoted(decision.method)}, "target": {quoted(shown(decision.target))}, '
            f'"websocket": {_boolean(decision.websocket)}, "host": {_text(decision.host)}, '
            f'{self._rule_part(decision)}, "owns": {_OWNS[decision.owns]}, '
            f"{_outcome_part(decision, verdict)}, "
            f'{self._position_of(verdict.position)}, "staleness": {_optional(verdict.staleness)}}}\n'
        )

    def failure(self, failure: Failure, at: float) -> str:
        """As `decision`."""
        return (
            f'{{"type": "failure", "at": "{self._instants.text(at)}", '
            f'"request_id": {quoted(failure.request_id)}, "status": {failure.status}, '
            f'"code": "{failure.code}", "peer": {quoted(failure.peer)}, '
            f'"detail": {quoted(failure.detail)}}}\n'
        )

    def retry(self, request_id: str, at: float) -> str:
        """As `decision`."""
        return f'{{"type": "retry", "at": "{self._instants.text(at)}", "request_id": {quoted(request_id)}}}\n'

    def answer(self, answered: Answered, at: float) -> str:
        """As `decision`."""
        return (
            f'{{"type": "answer", "at": "{self._instants.text(at)}", '
            f'"request_id": {quoted(answered.request_id)}, "status": {answered.status}, '
            f'"seconds": {decimal(answered.seconds)}, "peer": {quoted(answered.peer)}}}\n'
        )

    def _rule_part(self, decision: Decision) -> str:
        known = self._rules.get(decision.rule)
        if known is not None and known[0] is decision.requirement and known[1] == decision.policy:
            return known[2]
        part = _rule_part(decision)
        if len(self._rules) >= MAX_RULES:
            self._rules.clear()
        self._rules[decision.rule] = (decision.requirement, decision.policy, part)
        return part

    def _position_of(self, position: Position | None) -> str:
        if position is not self._position:
            self._position, self._position_part = position, _position_part(position)
        return self._position_part


def shown(target: str) -> str:
    """What of a target may stand in a log: a query may hold secrets, and a path somebody's token."""
    return without_tokens(target.partition("?")[0])


def _identity_part(identity: Identity | None) -> str:
    if identity is None:
        return NO_IDENTITY
    generation = identity.token_generation
    return (
        f'"subject": {quoted(identity.subject)}, "issuer": {quoted(identity.issuer)}, '
        f'"user_field": {_text(identity.user_field)}, '
        f'"token_generation": {"null" if generation is None else str(generation)}, '
        f'"kid": {quoted(identity.key_id)}'
    )


def _rule_part(decision: Decision) -> str:
    rule, requirement = decision.rule, decision.requirement
    quantifier = "null" if requirement is None else f'"{requirement.quantifier}"'
    permissions = ", ".join(map(quoted, requirement.permissions)) if requirement is not None else ""
    return (
        f'"rule": {_text(rule)}, "quantifier": {quantifier}, '
        f'"permissions": [{permissions}], {_conditions_part(requirement)}, '
        f'"policy": {quoted(decision.policy)}'
    )


def _conditions_part(requirement: Requirement | None) -> str:
    if requirement is None:
        return '"own": null, "own_claim": null, "scopes": [], "max_staleness": null'
    own, bound = requirement.own, requirement.max_staleness
    claim = None if own is None else own.claim
    return (
        f'"own": {_text(None if own is None else own.parameter)}, '
        f'"own_claim": {_text(claim)}, '
        f'"scopes": [{", ".join(map(quoted, requirement.scopes))}], '
        f'"max_staleness": {_optional(None if bound == inf else bound)}'
    )


def _outcome_part(decision: Decision, verdict: Verdict) -> str:
    return (
        f'"outcome": {_ALLOWED if verdict.code in FORWARDED else _REFUSED}, '
        f'"enforced": {_boolean(decision.enforced)}, "revoking": {_boolean(decision.revoking)}, '
        f'"status": {decision.status}, "code": "{verdict.code}", "detail": {quoted(verdict.detail)}'
    )


_OWNS: Final[dict[bool | None, str]] = {None: "null", True: "true", False: "false"}
_ALLOWED: Final = '"allowed"'
_REFUSED: Final = '"refused"'


def _position_part(position: Position | None) -> str:
    if position is None:
        return NO_POSITION
    at = "null" if position.at is None else quoted(position.at)
    return f'"epoch": {quoted(position.epoch)}, "revision": {position.revision}, "revision_at": {at}'


def _boolean(value: bool) -> str:
    return "true" if value else "false"


def _text(value: str | None) -> str:
    return "null" if value is None else quoted(value)


def _optional(seconds: float | None) -> str:
    return "null" if seconds is None else decimal(seconds)
