"""What counts as failing in the same way."""

from __future__ import annotations

import pytest

from lab.simulation.shrink import kind_of

WRONG = "73.249 s: sidecar 3 decided request 413 (6): permission_denied at revision 809 of {}, right is {}"


@pytest.mark.parametrize(
    "other",
    [
        WRONG.format("2026-01-01T00:17:52.964648Z", "granted"),
        "1.0 s: sidecar 1 decided request 7 (stranger): granted at revision 1 of 2026-01-01T00:16:40Z, "
        "right is subject_unknown",
    ],
)
def test_wrong_decisions_are_of_one_kind(other: str) -> None:
    assert kind_of(other) == kind_of(WRONG.format("2026-01-01T00:17:52.714303Z", "subject_inactive"))


def test_another_rule_is_another_kind() -> None:
    assert kind_of("1.0 s: sidecar 1 decided request 7 by permissions 3.86 s old") != kind_of(
        WRONG.format("2026-01-01T00:17:52.714303Z", "granted")
    )
