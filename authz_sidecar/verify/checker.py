"""Judges every decision against the state it names, its real age, and what both ends saw."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from authz_sidecar.verify.archive import EntityId, Moment, Node, State

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Evidence:
    """The lines to join by `request_id`; each of them a JSON object.

    `decisions`: what the sidecars logged, with allows not sampled.
    `answers`: what the client saw: `request_id`, `status`, `sent_at` (Unix seconds on the archiver's
    clock), and `min_revision` where the request carried `Authz-Min-Revision`.
    `received`: what reached the upstream: `request_id`.
    `failures`: what the sidecars answered by themselves, of which some never came to be decided on.
    `retries`: what they decided and sent a second time.
    """

    decisions: Iterable[Record]
    answers: Iterable[Record]
    received: Iterable[Record]
    failures: Iterable[Record] = ()
    retries: Iterable[Record] = ()


@dataclass(slots=True)
class Report:
    """What was found: `violations` must be empty."""

    codes: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    oldest: float = 0.0
    """The greatest real age of a decision, in seconds."""

    def violation(self, request_id: str, what: str) -> None:
        self.violations.append(f"{request_id}: {what}")


def check(evidence: Evidence, history: Iterable[Moment], max_staleness: float) -> Report:
    """Every violation found. `max_staleness` in seconds."""
    report = Report()
    answers = {line["request_id"]: line for line in evidence.answers}
    received = Counter(line["request_id"] for line in evidence.received)
    retried = Counter(line["request_id"] for line in evidence.retries)
    by_node: dict[Node, list[Record]] = defaultdict(list)
    seen: Counter[str] = Counter()
    revoked: set[str] = set()
    for decision in evidence.decisions:
        report.codes[decision["code"]] += 1
        if decision["revoking"]:
            revoked.add(decision["request_id"])
        else:
            seen[decision["request_id"]] += 1
            _check_reach(decision, received, retried, report)
            _check_answer(decision, answers.get(decision["request_id"]), report)
            _check_minimum(decision, answers.get(decision["request_id"]), report)
        if decision["revision"] is not None and decision["code"] in _RIGHT_WHEN:
            by_node[_node(decision)].append(decision)
    for request_id, count in seen.items():
        if count > 1 + retried[request_id]:
            report.violation(request_id, f"has {count} decision lines")
    for request_id in revoked - seen.keys():
        report.violation(request_id, "was revoked but never let through")
    failures = {(line["request_id"], line["status"]) for line in evidence.failures}
    _check_missing(seen, answers, received, failures, report)
    until = _check_states(by_node, history, report)
    _check_ages(by_node, answers, until, max_staleness, report)
    return report


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


def _check_missing(
    seen: Mapping[str, int],
    answers: Mapping[str, Record],
    received: Mapping[str, int],
    failures: Container[tuple[str, int]],
    report: Report,
) -> None:
    for request_id in received.keys() - seen.keys():
        report.violation(request_id, "reached the upstream without a decision line")
    for request_id, answer in answers.items():
        # No status: the connection broke, so the sidecar may never have seen the request.
        explained = request_id in seen or (request_id, answer["status"]) in failures
        if answer["status"] is not None and not explained:
            report.violation(request_id, f"was answered {answer['status']} without a decision line")
        if _succeeded(answer) and request_id not in received:
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
        newest = moment.node
        until[newest] = math.inf
        for decision in unmatched.pop(moment.node, ()):
            wanted = right_code(decision, moment.entities)
            if decision["code"] != wanted:
                made = f"was {decision['code']} at revision {decision['revision']}"
                report.violation(decision["request_id"], f"{made}, right is {wanted}")
    for decisions in unmatched.values():
        for decision in decisions:
            report.violation(decision["request_id"], f"names {_node(decision)}, which the archive lacks")
    return until


def _check_ages(
    by_node: Mapping[Node, list[Record]],
    answers: Mapping[str, Record],
    until: Mapping[Node, float],
    max_staleness: float,
    report: Report,
) -> None:
    """A decision is at least as old as its request was sent after its state had been replaced."""
    for node, decisions in by_node.items():
        for decision in decisions:
            answer = answers.get(decision["request_id"])
            if answer is None or node not in until:
                continue
            age = max(0.0, answer["sent_at"] - until[node])
            report.oldest = max(report.oldest, age)
            if age > max_staleness:
                report.violation(decision["request_id"], f"used permissions {age:.3f} s old")


def right_code(decision: Record, entities: Mapping[EntityId, State]) -> str:
    """The code that a decision must have over these states."""
    user = entities.get(("user", decision["subject"]))
    return next(code for code, holds in _RIGHT_WHEN.items() if holds(decision, user, entities))


def _revoked(decision: Record, user: State | None, _entities: Mapping[EntityId, State]) -> bool:
    generation = decision["token_generation"]
    return user is not None and generation is not None and generation != user["token_generation"]


def _granted(decision: Record, user: State | None, entities: Mapping[EntityId, State]) -> bool:
    if user is None:
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
    "superuser": lambda _d, user, _e: user is not None and bool(user["superuser"]),
    "granted": _granted,
    "permission_denied": lambda _d, _u, _e: True,
}
"""The codes that are decided at a revision: the first that holds is the right one."""
