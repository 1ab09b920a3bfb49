"""The latest refusals, for the page of the admin port."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final

from authz_sidecar.core.verdicts import Decision
from authz_sidecar.observe.composed import shown

KEPT: Final = 50


class RecentRefusals:
    """Those of the last `KEPT` decisions that did not allow, enforced or not; the newest first."""

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall = wall
        self._kept: deque[tuple[float, Decision]] = deque(maxlen=KEPT)

    def note(self, decision: Decision) -> None:
        if not decision.verdict.allowed:
            self._kept.appendleft((self._wall(), decision))

    def listed(self) -> list[dict[str, Any]]:
        """Plain values, ready for JSON, with no more of a target than the log has."""
        return [_line(at, decision) for at, decision in self._kept]


def _line(at: float, decision: Decision) -> dict[str, Any]:
    return {
        "at": at,
        "request_id": decision.request_id,
        "subject": decision.identity.subject if decision.identity else None,
        "user_field": decision.identity.user_field if decision.identity else None,
        "method": decision.method,
        "target": shown(decision.target),
        "code": decision.verdict.code.value,
        "detail": decision.verdict.detail,
        "rule": decision.rule,
        "enforced": decision.enforced,
        "revoking": decision.revoking,
    }
