"""Judges every decision against the state it names, its real age, and what both ends have a record of."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from authz_sidecar.verify.archive import EntityId, Moment, Node, State

Record = Mapping[str, Any]

DECISION_FIELDS = frozenset(
    [
        "at",
        "code",
        "enforced",
        "epoch",
        "outcome",
        "owns",
        "permissions",
        "quantifier",
        "request_id",
        "revision",
        "revision_at",
        "revoking",
        "status",
        "subject",
        "token_generation",
        "user_field",
    ]
)
"""What is read of a decision; the rest of its line need not be kept."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """The lines to join by `request_id`; each of them a JSON object.

    `decisions`: what the sidecars logged; where another record is given, with allows not sampled.
    `answers`: what the client saw: `request_id`, `status`, `sent_at` (Unix seconds on the archiver's
    clock), and `min_revision` where the request carried `Authz-Min-Revision`. `None`: it kept no record.
    `received`: what reached the upstream: `request_id`. `None`: it kept no record.
    `failures`: what the sidecars answered by themselves, of which some never came to be decided on.
    `retries`: what they decided and sent a second time.
    """

    decisions: Iterable[Record]
    answers: Iterable[Record] | None = None
    received: Iterable[Record] | None = None
    failures: Iterable[Record] = ()
    retries: Iterable[Record] = ()


@dataclass(slots=True)
class Report:
    """What was found: `violations` must be empty, and so must `unjudged`, or not everything is proved."""

    codes: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    unjudged: list[str] = field(default_factory=list)
    """Decisions at revisions that the archive does not have."""
    flaws: list[str] = field(default_factory=list)
    """Where the archive contradicts itself."""
    gaps: list[str] = field(default_factory=list)
    """What the archive lacks."""
    covered: list[str] = field(default_factory=list)
    """From where to where the archive goes, without a gap."""
    oldest: float = 0.0
    """The greatest real age of a decision, in seconds."""

    def violation(self, request_id: str, what: str) -> None:
        self.violations.append(f"{request_id}: {what}")


def check(
    evidence: Evidence, history: Iterable[Moment], max_staleness: float, clock_tolerance: float = 0.0
) -> Report:
    """Every violation found. `max_staleness` in seconds.

    `clock_tolerance`: by how many seconds a sidecar's clock may be ahead of the archiver's. It counts where
    no client says when a request was sent.
    """
    report = Report()
    answers = _answers(evidence.answers)
    by_node = _check_both_ends(evidence, answers, report)
    until = _check_states(by_node, history, report)
    _check_ages(by_node, _sending(answers, clock_tolerance), until, max_staleness, report)
    return report


def _check_both_ends(
    evidence: Evidence, answers: Mapping[str, Record] | None, report: Report
) -> dict[Node, list[Record]]:
    """What of the decisions needs no archive; returns those that do, by the state that they name."""
    received = _received(evidence.received)
    retried = Counter(line["request_id"] for line in evidence.retries)
    by_node: dict[Node, list[Record]] = defaultdict(list)
    seen: Counter[str] = Counter()
    revoked: set[str] = set()
    for decision in evidence.decisions:
        request_id = decision["request_id"]
        report.codes[decision["code"]] += 1
        if decision["revoking"]:
            revoked.add(request_id)
        else:
            seen[request_id] += 1
            if received is not None:
                _check_reach(decision, received, retried, report)
            if answers is not None:
                _check_answer(decision, answers.get(request_id), report)
                _check_minimum(decision, answers.get(request_id), report)
        if decision["revision"] is not None and decision["code"] in _RIGHT_WHEN:
            by_node[_node(decision)].append(decision)
    if received is not None:
        _check_received(seen, received, report)
    if answers is not None:
        _check_counts(seen, revoked, retried, report)
        failures = {(line["request_id"], line["status"]) for line in evidence.failures}
        _check_answered(seen, answers, received, failures, report)
    return by_node


def _received(lines: Iterable[Record] | None) -> Counter[str] | None:
    return None if lines is None else Counter(line["request_id"] for line in lines)


def _check_counts(seen: Mapping[str, int], revoked: Set[str], retried: Counter[str], report: Report) -> None:
    for request_id, count in seen.items():
        if count > 1 + retried[request_id]:
            report.violation(request_id, f"has {count} decision lines")
    for request_id in revoked - seen.keys():
        report.violation(request_id, "was revoked but never let through")


def _answers(lines: Iterable[Record] | None) -> dict[str, Record] | None:
    return None if lines is None else {line["request_id"]: line for line in lines}


def _sending(answers: Mapping[str, Record] | None, tolerance: float) -> Callable[[Record], float | None]:
    """When the request of a decision was sent, or, where no client says so, at the earliest decided."""
    if answers is None:
        return lambda decision: datetime.fromisoformat(decision["at"]).timestamp() - tolerance

    def sent_at(decision: Record) -> float | None:
        answer = answers.get(decision["request_id"])
        return None if answer is None else float(answer["sent_at"])

    return sent_at


def _node(decision: Record) -> Node:
    return Node(decision["epoch"], decision["revision"], decision["revision_at"])


def _check_reach(decision: Record, received: Counter[str], retried: Counter[str], report: Report) -> None:
    """A refusal reaches nobody, an allowed request the upstream at most once; a retried one once more."""
    request_id = decision["request_id"]
    arrived, before = received[request_id], retried[request_id]
    if _refused(decision) and arrived > before:
        report.violation(request_id, f"was refused ({decision['code']}) and yet reached the upstream")
    if arrived > 1 + before:
        report.violation(request_id, f"reached the upstream {arrived} times")


def _check_answer(decision: Record, answer: Record | None, report: Report) -> None:
    """The client was told what was decided."""
    request_id = decision["request_id"]
    if answer is None:
        report.violation(request_id, "has a decision but no line of the client")
    elif _refused(decision) and answer["status"] not in (decision["status"], None):
        report.violation(request_id, f"was refused with {decision['status']}, answered {answer['status']}")


def _refused(decision: Record) -> bool:
    return bool(decision["outcome"] == "refused" and decision["enforced"])


def _check_minimum(decision: Record, answer: Record | None, report: Report) -> None:
    wanted = answer.get("min_revision") if answer else None
    if wanted is None or decision["code"] not in _RIGHT_WHEN:
        return
    epoch8, _, revision = wanted.partition(".")
    if decision["epoch"][:8] != epoch8 or decision["revision"] < int(revision):
        used = f"{decision['epoch'][:8]}.{decision['revision']}"
        report.violation(decision["request_id"], f"asked for {wanted} or newer, decided at {used}")


def _check_received(seen: Mapping[str, int], received: Mapping[str, int], report: Report) -> None:
    for request_id in received.keys() - seen.keys():
        report.violation(request_id, "reached the upstream without a decision line")


def _check_answered(
    seen: Mapping[str, int],
    answers: Mapping[str, Record],
    received: Mapping[str, int] | None,
    failures: Container[tuple[str, int]],
    report: Report,
) -> None:
    for request_id, answer in answers.items():
        # No status: the connection broke, so the sidecar may never have seen the request.
        explained = request_id in seen or (request_id, answer["status"]) in failures
        if answer["status"] is not None and not explained:
            report.violation(request_id, f"was answered {answer['status']} without a decision line")
        if received is not None and _succeeded(answer) and request_id not in received:
            report.violation(request_id, f"was answered {answer['status']} but never reached the upstream")


def _succeeded(answer: Record) -> bool:
    return answer["status"] is not None and 200 <= answer["status"] < 300


def _check_states(
    by_node: Mapping[Node, list[Record]], history: Iterable[Moment], report: Report
) -> dict[Node, float]:
    """Judge each decision at the state it names; returns until when each state was the newest one."""
    unmatched = dict(by_node)
    until: dict[Node, float] = {}
    newest: Node | None = None
    for moment in history:
        if newest is not None:
            until[newest] = moment.since
        _note_coverage(moment, newest, report)
        newest = moment.node
        until[newest] = math.inf
        for decision in unmatched.pop(moment.node, ()):
            wanted = right_code(decision, moment.entities, moment.subject_fields)
            if decision["code"] != wanted:
                made = f"was {decision['code']} at revision {decision['revision']}"
                report.violation(decision["request_id"], f"{made}, right is {wanted}")
    _note_coverage(None, newest, report)
    for decisions in unmatched.values():
        for decision in decisions:
            report.unjudged.append(
                f"{decision['request_id']}: names {_node(decision)}, which the archive lacks"
            )
    return until


def _note_coverage(moment: Moment | None, before: Node | None, report: Report) -> None:
    """Where the archive goes on without a gap; `None` beyond its end."""
    begins = before is None or (moment is not None and moment.jumped)
    if before is not None and (moment is None or begins):
        report.covered[-1] += f" to {before}"
    if moment is not None and begins:
        report.covered.append(str(moment.node))
    if moment is not None and moment.flaw:
        (report.gaps if moment.jumped else report.flaws).append(moment.flaw)


def _check_ages(
    by_node: Mapping[Node, list[Record]],
    sent_at: Callable[[Record], float | None],
    until: Mapping[Node, float],
    max_staleness: float,
    report: Report,
) -> None:
    """A decision is at least as old as its request was sent after its state had been replaced."""
    for node, decisions in by_node.items():
        for decision in decisions:
            sent = sent_at(decision)
            if sent is None or node not in until:
                continue
            age = max(0.0, sent - until[node])
            report.oldest = max(report.oldest, age)
            if age > max_staleness:
                report.violation(decision["request_id"], f"used permissions {age:.3f} s old")


def right_code(
    decision: Record, entities: Mapping[EntityId, State], subject_fields: Sequence[str] = ()
) -> str:
    """The code that a decision must have over these states, whose users are named by these fields."""
    named, field = decision["subject"], decision.get("user_field")
    if field is not None and subject_fields and field != subject_fields[0]:
        named = f"{field}\x1f{named}"
    user = entities.get(("user", named))
    return next(code for code, holds in _RIGHT_WHEN.items() if holds(decision, user, entities))


def _revoked(decision: Record, user: State | None, _entities: Mapping[EntityId, State]) -> bool:
    generation = decision["token_generation"]
    if user is None or generation is None:  # when such a token was issued is not in the log
        ended = user is not None and user.get("tokens_not_before") is not None
        return ended and bool(decision["code"] == "token_revoked")
    return bool(generation != user["token_generation"])


def _own_is_enough(decision: Record, user: State | None, _entities: Mapping[EntityId, State]) -> bool:
    return user is not None and bool(decision.get("owns")) and decision["quantifier"] != "all"


def _asks_permissions(decision: Record) -> bool:
    """Whether permissions can still decide, after what is the user's own."""
    owned = decision.get("owns") is not False or decision["quantifier"] != "all"
    return owned and bool(decision["permissions"])


def _granted(decision: Record, user: State | None, entities: Mapping[EntityId, State]) -> bool:
    if user is None or not _asks_permissions(decision):
        return False
    held = set(user["permissions"])
    for group in user["groups"]:
        held |= set(entities.get(("group", group), {"permissions": ()})["permissions"])
    wanted = set(decision["permissions"])
    return wanted <= held if decision["quantifier"] == "all" else bool(wanted & held)


_RIGHT_WHEN: dict[str, Callable[[Record, State | None, Mapping[EntityId, State]], bool]] = {
    "subject_unknown": lambda _d, user, _e: user is None,
    "subject_inactive": lambda _d, user, _e: user is not None and not user["active"],
    "token_revoked": _revoked,
    "authenticated": lambda decision, _u, _e: bool(decision["quantifier"] == "authenticated"),
    "own": _own_is_enough,
    "superuser": lambda d, user, _e: _asks_permissions(d) and user is not None and bool(user["superuser"]),
    "granted": _granted,
    "permission_denied": lambda _d, _u, _e: True,
}
"""The codes that are decided at a revision: the first that holds is the right one."""
