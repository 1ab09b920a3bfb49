"""Why a request would be let through or refused: the rule and those that nearly matched, the grant or what is
missing, and how fresh the answer is.

The verdict is the pipeline's own. What is told beside it is looked up afterwards, so it may be of a later
revision; where it is, the revisions differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from authz_sidecar.codes import TABLE
from authz_sidecar.core import causes, hosts, target
from authz_sidecar.core.causes import Cause, History, Then
from authz_sidecar.core.closest import closest
from authz_sidecar.core.entities import Entity, EntityKey, EntityState, GroupState, UserState
from authz_sidecar.core.errors import MalformedMessage, Refused, Unavailable
from authz_sidecar.core.fields import FieldList, of_request
from authz_sidecar.core.grants import Held, held
from authz_sidecar.core.policy import Policy
from authz_sidecar.core.rules import Rule
from authz_sidecar.core.verdicts import (
    UNBOUNDED,
    Code,
    Decision,
    Identity,
    Question,
    RequestHead,
)
from authz_sidecar.pipeline import Pipeline

REQUEST_ID = "explain"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, and who makes it: the holder of a token, or a subject by name. Neither: nobody."""

    method: str
    target: bytes
    subject: str | None = None
    token: bytes | None = None
    host: str = ""
    """As `Host` would name it."""
    user_field: str | None = None
    """What of the User service's users a subject by name names."""


@dataclass(frozen=True, slots=True)
class Groups:
    """The groups that are known."""

    states: Mapping[str, GroupState]
    whole: bool
    """Whether these are all there are."""


class Holdings(Protocol):
    """Where grants are looked up."""

    def entity(self, key: EntityKey) -> Entity | None:
        """What decisions read; `None` when it is not at hand."""

    def user(self, identity: Identity) -> EntityKey | None:
        """As decisions call it; `None` where they cannot."""

    async def groups(self) -> Groups: ...


class Historian(Protocol):
    """Who keeps what was given and taken, when and by whom."""

    async def history(self, sub: str, permissions: Iterable[str]) -> History | None:
        """`None` where none is kept. Raises Unavailable or MalformedMessage."""


@dataclass(frozen=True, slots=True)
class Explainer:
    """Explains by the policy that is in force when it is asked. Without `holdings` no grant is told."""

    pipeline: Callable[[], Pipeline]
    holdings: Holdings | None
    historian: Historian | None = None

    async def explain(self, asked: Asked) -> dict[str, Any]:
        """Plain values, ready for JSON. Never a token."""
        pipeline = self.pipeline()
        decision = await self._decide(pipeline, asked)
        subject = decision.identity.subject if decision.identity else asked.subject
        return {
            "method": asked.method,
            "target": asked.target.decode("latin-1"),
            "subject": subject,
            **_outcome(decision),
            **_rules(pipeline.policy, asked, decision.rule),
            **await self._grants(asked, decision),
        }

    async def _decide(self, pipeline: Pipeline, asked: Asked) -> Decision:
        """A subject by name needs no token; all other steps are those of any request."""
        fields: FieldList = [(b"Host", asked.host.encode("latin-1"))]
        if asked.token is not None:
            fields.append((pipeline.token_places.header, b"Bearer " + asked.token))
        request = RequestHead(asked.method, asked.target, of_request(fields), "explain")
        found = pipeline.decide(request, REQUEST_ID)
        decision = found if isinstance(found, Decision) else await found()
        requirement = decision.requirement
        named = asked.subject is not None and decision.verdict.code == Code.TOKEN_MISSING
        if not named or asked.subject is None or requirement is None:
            return decision
        owns = _owns(pipeline.policy, asked, decision.rule)
        judged = await pipeline.evaluate(
            asked.subject, requirement, REQUEST_ID, owns=owns, user_field=asked.user_field
        )
        enforced = decision.enforced
        return judged._replace(rule=decision.rule, owns=owns if requirement.own else None, enforced=enforced)

    async def _grants(self, asked: Asked, decision: Decision) -> dict[str, Any]:
        requirement, identity = decision.requirement, decision.identity
        if identity is None and asked.subject is not None:
            identity = _by_name(asked.subject, asked.user_field)
        if self.holdings is None or identity is None or requirement is None:
            return {}
        key = self.holdings.user(identity)
        entity = None if key is None else self.holdings.entity(key)
        if entity is None:
            return {}
        groups = await self.holdings.groups()
        changed = await self._last_change(entity, groups, decision, identity)
        if not isinstance(entity.state, UserState):
            return changed
        user = entity.state
        return {
            "user": {
                "active": user.active,
                "superuser": user.superuser,
                "groups": sorted(user.groups),
                "changed_at_revision": entity.revision,
            },
            "permissions": [_told(each) for each in held(user, requirement, groups.states)],
            "all_groups_known": groups.whole,
            **changed,
        }

    async def _last_change(
        self, user: Entity, groups: Groups, decision: Decision, identity: Identity
    ) -> dict[str, Any]:
        """What made the verdict what it is, as far as what is at hand is what was decided by."""
        subject, position, requirement = user.key.key, decision.verdict.position, decision.requirement
        if self.historian is None or position is None or requirement is None:
            return {}
        states: dict[EntityKey, EntityState] = {
            EntityKey("group", key): state for key, state in groups.states.items()
        }
        now = Then(position, {**states, user.key: user.state})
        as_logged = replace(identity, subject=subject, user_field=None)
        question = Question(as_logged, requirement, None, bool(decision.owns))
        if now.code(question) is not decision.verdict.code:
            return {}
        try:
            history = await self.historian.history(subject, requirement.permissions)
        except (Unavailable, MalformedMessage) as error:
            return {"last_change": None, "history": f"cannot be asked: {error}"}
        if history is None:
            return {"last_change": None, "history": "is not kept by the User service"}
        return _changed(causes.last(question, now, history), position.epoch[:8])


def _outcome(decision: Decision) -> dict[str, Any]:
    verdict = decision.verdict
    row = TABLE[verdict.code]
    return {
        "allowed": verdict.allowed,
        "code": verdict.code.value,
        "status": row.status,
        "meaning": row.meaning,
        "detail": verdict.detail,
        "mend": row.mend,
        "enforced": decision.enforced,
        "owns": decision.owns,
        "policy": decision.policy,
        "revision": str(verdict.position.token) if verdict.position else None,
        "staleness": verdict.staleness,
    }


def _rules(policy: Policy, asked: Asked, label: str | None) -> dict[str, Any]:
    rule = _labelled(policy, label)
    try:
        host = hosts.normal(asked.host.encode("latin-1"))
        near = closest(policy, asked.method, target.path(asked.target), host)
    except Refused:  # a target that no rule is matched with
        near = []
    return {
        "rule": None if rule is None else _shown(rule),
        "closest": [{**_shown(each.rule), "why": each.why} for each in near],
    }


def _labelled(policy: Policy, label: str | None) -> Rule | None:
    return next((rule for rule in policy.rules if rule.label == label), None)


def _owns(policy: Policy, asked: Asked, label: str | None) -> bool:
    """Whether the path names the subject that is asked about; what their tokens would claim is not known."""
    rule = _labelled(policy, label)
    if rule is None or asked.subject is None:
        return False
    return rule.owned_by(_by_name(asked.subject, None), target.path(asked.target))


def _by_name(subject: str, user_field: str | None) -> Identity:
    """Of a user whose token is not known, and taken to be good."""
    after, field = UNBOUNDED, user_field
    return Identity(subject, "", UNBOUNDED, None, None, None, issued_after=after, user_field=field)


def _shown(rule: Rule) -> dict[str, Any]:
    return {"rule": rule.label, "place": rule.place, "requires": str(rule.requirement)}


def _changed(cause: Cause | None, epoch8: str) -> dict[str, Any]:
    if cause is None:
        return {"last_change": None, "history": "tells of no change that made it so"}
    change = cause.change
    told = {
        "revision": f"{epoch8}.{change.revision}",
        "at": change.at,
        "by": change.by,
        "text": change.text,
        "before": cause.before.value if cause.before else None,
    }
    return {"last_change": told, "history": None}


def _told(each: Held) -> dict[str, Any]:
    return {
        "permission": each.permission,
        "held": each.held,
        "direct": each.direct,
        "through_groups": list(each.groups),
        "other_groups_with_it": list(each.others),
    }
