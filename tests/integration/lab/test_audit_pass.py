"""The bench of the audit compares what its own log says with its own tables."""

from __future__ import annotations

import pytest

from lab.bench import auditing
from lab.bench.host import Cores

USERS = 300


def test_a_pass_compares_everything_and_finds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auditing, "QUICK_USERS", USERS)
    said: list[str] = []
    result = auditing.run(Cores(proxy=0, rest=0), quick=True, progress=said.append)
    assert said == [f"comparing {USERS} users"]
    assert result.facts["differences found"] == 0
    assert result.facts["steps of a pass"] >= 2
