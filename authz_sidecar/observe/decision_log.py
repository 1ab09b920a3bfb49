"""The decision log: one JSON line a decision or failure, written by a thread so that no request waits."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from queue import Full, Queue
from threading import Thread
from types import MappingProxyType
from typing import Any, TextIO

from authz_sidecar.core.verdicts import FORWARDED, Decision, Failure

QUEUE_LINES = 10_000
STOP_SECONDS = 5.0


class DecisionLog:
    """Writes refusals and failures always, allows at `sample_allows` (0 to 1); counts what it drops."""

    def __init__(
        self,
        *,
        wall: Callable[[], float],
        sample_allows: float = 1.0,
        stream: TextIO = sys.stdout,
    ) -> None:
        self.dropped = 0
        self._wall = wall
        self._sample_allows = sample_allows
        self._stream = stream
        self._queue: Queue[tuple[float, Decision | Failure] | None] = Queue(QUEUE_LINES)
        self._thread = Thread(target=self._write, name="decision-log", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Write what is queued, then end; a stream that takes nothing any more is given up."""
        with suppress(Full):
            self._queue.put(None, timeout=STOP_SECONDS)
        self._thread.join(timeout=STOP_SECONDS)

    def record(self, decision: Decision) -> None:
        """Queue a decision; never blocks."""
        if decision.verdict.code not in FORWARDED or self._sampled():
            self._put(decision)

    def record_failure(self, failure: Failure) -> None:
        """Queue a failure; never blocks."""
        self._put(failure)

    def _put(self, record: Decision | Failure) -> None:
        try:
            self._queue.put_nowait((self._wall(), record))
        except Full:
            self.dropped += 1

    def _sampled(self) -> bool:
        return self._sample_allows >= 1 or random.random() < self._sample_allows  # noqa: S311 (a sample, no secret)

    def _write(self) -> None:
        while (item := self._queue.get()) is not None:
            at, record = item
            fields = line(record, at) if isinstance(record, Decision) else failure_line(record, at)
            try:
                self._stream.write(json.dumps(fields) + "\n")
                if self._queue.empty():
                    self._stream.flush()
            except OSError:  # a full disk, a closed pipe: it may be mended, and the next line written
                self.dropped += 1


DECISION_FIELDS: Mapping[str, str] = MappingProxyType(
    {
        "type": "`decision`",
        "at": "when it was logged, in Unix seconds",
        "request_id": "the client's `X-Request-Id` if it is harmless, else ours; the service gets it, too",
        "subject": "the user, as the verified token names it; null before a token was verified",
        "token_generation": "the token's `authz_gen`; null without one",
        "method": "the request's method",
        "target": "its target without the query, which may hold secrets",
        "rule": "the policy's rule that matched, like `POST /students/`; null when none did",
        "quantifier": "what the rule asks for: `anyone`, `authenticated`, or `any` or `all` of `permissions`",
        "permissions": "the permissions that the rule names",
        "policy": "digest of the policy that decided, as `authz-sidecar check` prints it",
        "outcome": "`allowed` or `refused`: the verdict, in shadow mode, too",
        "enforced": "false in shadow mode: a refused request was forwarded all the same",
        "revoking": "true when it ended a request that an earlier decision had let through",
        "status": "HTTP status of the refusal; 0 when the request was forwarded",
        "code": "the code of the verdict ([codes](codes.md))",
        "epoch": "the history of permissions it was decided by; null where none was asked",
        "revision": "the revision at which the verdict is exactly right",
        "revision_at": "when the User service made that revision",
        "staleness": "seconds since the newest proof that the copy was fresh; null without one",
    }
)
"""What `line` writes, in its order; docs/decision-log.md is made from it."""

FAILURE_FIELDS: Mapping[str, str] = MappingProxyType(
    {
        "type": "`failure`",
        "at": "when it was logged, in Unix seconds",
        "request_id": "as above",
        "status": "HTTP status of the answer; 0 when the connection was closed without one",
        "code": "why the byte path ended the request ([codes](codes.md))",
        "peer": "address of the client, or of the proxy in front where nobody better is known",
    }
)
"""What `failure_line` writes."""


def line(decision: Decision, at: float) -> dict[str, Any]:
    """What is logged of a decision: everything it was made from, and never a token. `at` in Unix seconds."""
    identity, verdict = decision.identity, decision.verdict
    position, requirement = verdict.position, decision.requirement
    return {
        "type": "decision",
        "at": at,
        "request_id": decision.request_id,
        "subject": identity.subject if identity else None,
        "token_generation": identity.token_generation if identity else None,
        "method": decision.method,
        "target": decision.target.partition("?")[0],  # a query may hold somebody's secret
        "rule": decision.rule,
        "quantifier": requirement.quantifier if requirement else None,
        "permissions": requirement.permissions if requirement else (),
        "policy": decision.policy,
        "outcome": "allowed" if verdict.allowed else "refused",
        "enforced": decision.enforced,
        "revoking": decision.revoking,
        "status": decision.status,
        "code": verdict.code,
        "epoch": position.epoch if position else None,
        "revision": position.revision if position else None,
        "revision_at": position.at if position else None,
        "staleness": verdict.staleness,
    }


def failure_line(failure: Failure, at: float) -> dict[str, Any]:
    """What is logged of a failure. `at` in Unix seconds."""
    return {"type": "failure", "at": at, **failure._asdict()}
