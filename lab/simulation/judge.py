"""Judges what the sidecars do against the truth, the moment they do it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from authz_sidecar.core.entities import Entity, Position
from authz_sidecar.core.verdicts import FORWARDED, Code, Decision, Requirement
from authz_sidecar.verify.checker import right_code
from lab.simulation.asked import Asked
from lab.simulation.history import Database, EntityId, Node, State
from lab.simulation.joints import rules
from lab.simulation.plan import Setup
from lab.simulation.process import Process

Say = Callable[[str], None]

AT_A_REVISION = frozenset(
    {
        Code.SUBJECT_UNKNOWN,
        Code.SUBJECT_INACTIVE,
        Code.TOKEN_REVOKED,
        Code.AUTHENTICATED,
        Code.OWN,
        Code.SUPERUSER,
        Code.GRANTED,
        Code.PERMISSION_DENIED,
    }
)
"""What is decided at a revision, and has to be exactly right there."""
NOT_KNOWN = frozenset(
    {Code.NOT_READY, Code.STALE, Code.UNAUDITED, Code.BEHIND, Code.GRANTS_UNKNOWN, Code.KEYS_UNKNOWN}
)
TOLERANCE = 0.5
"""Seconds by which a proof may look younger than it is: the product notices a clock that was set by more than
0.25 s, and clocks of the world run up to 1 % wrong."""


@dataclass(slots=True)
class Excuses:
    """For how many seconds what a sidecar needs has been well, in the world's time."""

    source: float
    """The User service, the way to it, and the sidecar itself."""
    everything: float


class Judge:
    """Finds out what is wrong; `say` is told, once for each."""

    def __init__(self, database: Database, setup: Setup, audited: Callable[[], float], say: Say) -> None:
        self.codes: Counter[str] = Counter()
        self.waited = 0
        self.oldest = 0.0
        self.clock_slack = 0.0
        """By how much the service's clock was set forth lately: heartbeats may look younger by as much."""
        self.audit_slack = 0.0
        """By how much it was set at all: it is that clock that says when the log was audited."""
        self._database = database
        self._max_staleness = setup.max_staleness
        self._max_audit_age = setup.max_audit_age
        self._audited = audited
        self._say = say

    def slacken(self, seconds: float, of_audits: float) -> None:
        self.clock_slack += seconds
        self.audit_slack += of_audits

    def decided(
        self, process: Process, asked: Asked, decision: Decision, now: float, excuses: Excuses
    ) -> None:
        code, position, who = decision.verdict.code, decision.verdict.position, process.name
        self.codes[code] += 1
        self._judge_answer(process, asked, decision)
        wants = _wanted(process, asked)
        if wants is None or wants is rules.ANYONE:
            self._judge_open(who, asked, decision, wants)
        elif code in AT_A_REVISION:
            self._judge_right(who, asked, wants, decision)
            self._judge_age(process, asked, wants, decision, now)
            self._judge_audit(process, asked, now)
            self._judge_minimum(who, asked, position)
        elif code in NOT_KNOWN:
            self._judge_refusal(who, asked, wants, decision, excuses)
        else:
            self._judge_token(who, asked, decision, excuses)

    def _judge_answer(self, process: Process, asked: Asked, decision: Decision) -> None:
        """Who is let through goes on, what is not known is no refusal, and the rules are those in force."""
        code, status = decision.verdict.code, decision.status
        if (code in FORWARDED) is not (status == 0) or (code in NOT_KNOWN) is not (status == 503):
            self._say(f"{process.name} answered request {asked.number} {status}, for {code}")
        if decision.policy != rules.digest(process.policy):
            self._say(f"{process.name} decided request {asked.number} by rules that are not in force")

    def _judge_open(self, who: str, asked: Asked, decision: Decision, wants: Requirement | None) -> None:
        right, code = Code.NO_RULE if wants is None else Code.ANYONE, decision.verdict.code
        if code is not right:
            self._say(f"{who} decided request {asked.number}: {code}, right is {right}")

    def _judge_right(self, who: str, asked: Asked, wants: Requirement, decision: Decision) -> None:
        position = decision.verdict.position
        node = self.node(position)
        if node is None:
            self._say(f"{who} decided request {asked.number} at {position}, which never was")
            return
        wanted = right_code(_record(asked, wants, node), _View(node))
        code = decision.verdict.code
        if code != wanted:
            at = f"revision {node.revision} of {node.at}"
            self._say(
                f"{who} decided request {asked.number} ({asked.sub}): {code} at {at}, right is {wanted}"
            )

    def allowed(self, process: Process, asked: Asked, node: Node) -> bool:
        """Whether the truth at that node, and the rules in force there, let it through."""
        wants = _wanted(process, asked)
        if wants is None or wants is rules.ANYONE:
            return wants is not None
        return Code(right_code(_record(asked, wants, node), _View(node))) in FORWARDED

    def revoked(self, process: Process, asked: Asked, decision: Decision) -> None:
        """A request under way was ended."""
        code, wants = decision.verdict.code, _wanted(process, asked)
        if wants is None or wants is rules.ANYONE:
            self._judge_open(process.name, asked, decision, wants)
        elif code in AT_A_REVISION:
            self._judge_right(process.name, asked, wants, decision)
        elif code is Code.NO_RULE:
            self._say(f"{process.name} ended request {asked.number}: {code}, but there is one")

    def went_on(self, who: str, asked: Asked, seconds: float) -> None:
        self._say(
            f"{who} let request {asked.number} go on for more than {seconds:.1f} s after its revocation"
        )

    def node(self, position: Position | None) -> Node | None:
        if position is None:
            return None
        return self._database.nodes.get((position.epoch, position.revision, position.at or ""))

    def _judge_age(
        self, process: Process, asked: Asked, wants: Requirement, decision: Decision, now: float
    ) -> None:
        """Who is let through may have gained something since; who is not, lost something."""
        node = self.node(decision.verdict.position)
        since = None if node is None else node.lost if decision.verdict.code in FORWARDED else node.replaced
        if since is None:
            return
        age = (now - since) * max(1.0, process.host.clock.rate)
        self.oldest = max(self.oldest, age)
        bound = min(self._max_staleness, wants.max_staleness)
        if age > bound * 1.01 + TOLERANCE + self.clock_slack:
            self._say(f"{process.name} decided request {asked.number} by permissions {age:.2f} s old")

    def _judge_audit(self, process: Process, asked: Asked, now: float) -> None:
        age = (now - self._audited()) * max(1.0, process.host.clock.rate)
        bound = self._max_audit_age
        if bound is not None and age > bound * 1.01 + TOLERANCE + self.audit_slack:
            self._say(f"{process.name} decided request {asked.number} by a log audited {age:.2f} s ago")

    def _judge_minimum(self, who: str, asked: Asked, position: Position | None) -> None:
        for token in (asked.minimum, asked.claimed):
            if token is None or position is None:
                continue
            epoch8, _, revision = token.partition(".")
            if position.epoch[:8] != epoch8 or position.revision < int(revision):
                self._say(f"{who} decided request {asked.number} at {position.token}, asked for {token}")

    def _judge_refusal(
        self, who: str, asked: Asked, wants: Requirement, decision: Decision, excuses: Excuses
    ) -> None:
        """What is not known is excused by what is, or lately was, broken; or by a rule of its own."""
        code = decision.verdict.code
        if code is Code.STALE and wants.max_staleness < self._max_staleness:
            return
        source_only = code in (Code.STALE, Code.UNAUDITED, Code.NOT_READY, Code.KEYS_UNKNOWN)
        well = excuses.source if source_only else excuses.everything
        patience = PATIENCE[code]
        if well > patience:
            what = "the User service was" if source_only else "everything was"
            detail = f"{decision.verdict.detail}, although {what} well for {well:.1f} s"
            self._say(f"{who} refused request {asked.number}: {code}, {detail}")

    def _judge_token(self, who: str, asked: Asked, decision: Decision, excuses: Excuses) -> None:
        code = decision.verdict.code
        if code in (Code.REVISION_BEYOND_HEAD, Code.EPOCH_MISMATCH, Code.TOKEN_EPOCH):
            self._judge_history(who, asked, code)
        elif code in (Code.TOKEN_INVALID, Code.TOKEN_EXPIRED):
            self._judge_token_refused(who, asked, decision, excuses)
        else:
            self._say(f"{who} answered request {asked.number} with {code}")

    def _judge_history(self, who: str, asked: Asked, code: Code) -> None:
        """A revision that exists, and has since it was asked for, must not be called foreign or missing."""
        token = asked.claimed if code is Code.TOKEN_EPOCH else asked.minimum
        epoch8, _, revision = (token or ".0").partition(".")
        head = self._database.head
        certain = head.epoch.startswith(epoch8) and int(revision) <= head.revision
        if certain and not asked.foreign and self._undisturbed_since(asked.sent):
            self._say(
                f"{who} refused request {asked.number} for {token}: {code}, but the head is {head.name}"
            )

    def _undisturbed_since(self, sent: float) -> bool:
        return self._database.disturbed < sent - 2 * self._max_staleness - 20.0

    def _judge_token_refused(self, who: str, asked: Asked, decision: Decision, excuses: Excuses) -> None:
        """Clients renew tokens in time; a key that was rotated away or a clock that was set excuses it."""
        if excuses.everything > TOKEN_PATIENCE and not asked.foreign:
            self._say(f"{who} refused request {asked.number}: {decision.verdict.detail}")


TOKEN_PATIENCE = 100.0
"""A token that was made while a clock was wrong is used for a while."""
PATIENCE: Mapping[Code, float] = {
    Code.STALE: 8.0,
    Code.UNAUDITED: 15.0,
    Code.NOT_READY: 15.0,
    Code.KEYS_UNKNOWN: 12.0,
    Code.BEHIND: 12.0,
    Code.GRANTS_UNKNOWN: 12.0,
}
"""Seconds after which an outage must be over once what a decision needs is well again."""


class _View(Mapping[EntityId, State]):
    """The states of one node, for the product's own checker."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def get(self, key: EntityId, default: Any = None) -> Any:
        state = self._node.state(key)
        return default if state is None else state

    def __getitem__(self, key: EntityId) -> State:
        raise NotImplementedError

    def __iter__(self) -> Any:
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError


def _wanted(process: Process, asked: Asked) -> Requirement | None:
    """What the rules in force demand of it; `None`: there is no rule for it."""
    return rules.POLICIES[process.policy].get(asked.rule)


def _record(asked: Asked, wants: Requirement, node: Node) -> dict[str, Any]:
    user = node.state(("user", asked.sub or ""))
    ended = None if user is None else user.get("tokens_not_before")
    return {
        "subject": asked.sub,
        # The checker does not know when a token was issued, and believes what is said of it; we do.
        "code": "token_revoked" if ended is not None and asked.issued <= ended else "",
        "token_generation": asked.generation,
        "quantifier": wants.quantifier,
        "permissions": wants.permissions,
        "owns": None if wants.own is None else asked.whose == asked.sub,
    }


def differences(position: Position | None, entities: Mapping[Any, Entity], node: Node) -> list[str]:
    """In what a copy differs from the truth at `node`.

    What it lacks is no difference: it is asked for; nor is what says itself that it is newer: it is not used.
    """
    if position is None or (position.epoch, position.revision, position.at) != node.name:
        return [f"stands at {position}, the head is {node.name}"]
    found = []
    for key, entity in entities.items():
        right = node.state((key.kind, key.key))
        if entity.revision <= node.revision and _state(entity) != right:
            found.append(f"{key.kind} {key.key} is {_state(entity)}, right is {right}")
    return found


def _state(entity: Entity) -> State | None:
    state: Any = entity.state
    if state is None:
        return None
    if entity.key.kind == "group":
        return {"permissions": sorted(state.permissions)}
    ended = state.tokens_not_before
    return {
        **({} if ended is None else {"tokens_not_before": ended}),
        "active": state.active,
        "superuser": state.superuser,
        "permissions": sorted(state.permissions),
        "groups": sorted(state.groups),
        "token_generation": state.token_generation,
    }
