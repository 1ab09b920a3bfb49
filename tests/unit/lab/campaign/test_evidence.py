"""A missing line is excused only where a kill can have taken it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lab.campaign.evidence import LOSS_SECONDS, Kill, Line, collect

KILLED = Kill("sidecar-1", began=100.0, ended=100.2)
ANSWER = {"request_id": "r", "sidecar": "sidecar-1", "status": None, "sent_at": 99.99, "answered_at": 100.1}
DECISION = {"type": "decision", "request_id": "r"}

CASES: list[tuple[str, dict[str, Any], float | None, bool, bool]] = [
    # name, what differs in the answer, when it reached the upstream, is there a decision line, excused
    ("reached the upstream as the sidecar died", {}, 99.995, False, True),
    ("answered as it died", {"status": 403, "answered_at": 99.999}, None, False, True),
    ("its line was written", {}, 99.995, True, False),
    ("never decided: nothing to excuse", {}, None, False, False),
    ("another sidecar died", {"sidecar": "sidecar-2"}, 99.995, False, False),
    ("answered long before", {"status": 403, "answered_at": 100 - 2 * LOSS_SECONDS}, None, False, False),
    ("sent after it had died", {"sent_at": 100.3}, 100.4, False, False),
]


@pytest.mark.parametrize(
    ("answer", "arrived_at", "decided", "excused"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_only_lines_lost_with_a_killed_sidecar_are_excused(
    tmp_path: Path, answer: Line, arrived_at: float | None, decided: bool, excused: bool
) -> None:
    received = [] if arrived_at is None else [{"request_id": "r", "at": arrived_at}]
    decisions = _file(tmp_path / "decisions", [DECISION] if decided else [])
    evidence, lost = collect(
        [decisions],
        _file(tmp_path / "answers", [ANSWER | answer]),
        _file(tmp_path / "received", received),
        [KILLED],
    )
    assert lost == ({"r"} if excused else set())
    assert len(list(evidence.answers)) == (0 if excused else 1)
    assert len(list(evidence.received)) == (0 if excused else len(received))


@pytest.mark.parametrize(("peer", "kept"), [("127.0.0.1", 1), ("127.0.1.7", 0)])
def test_decisions_on_requests_of_hostile_clients_are_left_out(tmp_path: Path, peer: str, kept: int) -> None:
    answered = {"type": "answer", "request_id": "r", "status": 403, "peer": peer}
    evidence, _ = collect(
        [_file(tmp_path / "decisions", [DECISION, answered])],
        _file(tmp_path / "answers", []),
        _file(tmp_path / "received", []),
        [],
    )
    assert len(list(evidence.decisions)) == kept


def test_a_failure_that_was_logged_explains_an_answer_and_is_not_excused(tmp_path: Path) -> None:
    failure = {"type": "failure", "request_id": "r", "status": 400}
    answered = ANSWER | {"status": 400, "answered_at": 99.999}
    evidence, lost = collect(
        [_file(tmp_path / "decisions", [failure])],
        _file(tmp_path / "answers", [answered]),
        _file(tmp_path / "received", []),
        [KILLED],
    )
    assert lost == set()
    assert list(evidence.failures) == [failure]


def _file(path: Path, lines: list[Line]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path
