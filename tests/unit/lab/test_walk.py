"""A way is described by its stays, and by those that go back to a file left before."""

from __future__ import annotations

import pytest

from lab.walk import Walk, described

WAYS: dict[str, tuple[Walk, str]] = {
    "straight on": ([("a.py", "f"), ("a.py", "g"), ("b.py", "h")], "2 files, 2 stays, 0 returns"),
    "back and forth": ([("a.py", "f"), ("b.py", "g"), ("a.py", "h")], "2 files, 3 stays, 1 returns"),
    "nowhere": ([], "0 files, 0 stays, 0 returns"),
}


@pytest.mark.parametrize(("walk", "figures"), WAYS.values(), ids=WAYS.keys())
def test_figures(walk: Walk, figures: str) -> None:
    assert described("it", walk, whole=False) == f"it: {figures}"


def test_each_stay_is_shown() -> None:
    shown = described("it", WAYS["back and forth"][0], whole=True).splitlines()
    assert [line.strip() for line in shown[1:]] == ["a.py: f", "b.py: g", "a.py: h"]
