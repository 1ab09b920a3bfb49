"""What is known of a dependency: whether it answers, since when, and why not."""

from __future__ import annotations

from authz_sidecar.core.ports import Seen, SilentObserver
from authz_sidecar.replica.dependencies import Dependencies


def test_since_when_and_why() -> None:
    now = [100.0]
    found = Dependencies(SilentObserver(), lambda: now[0])
    assert found.seen() == {}
    found.report("store", True)
    now[0] = 107.0
    found.report("store", True)  # nothing new
    assert found.seen() == {"store": Seen(True, 7.0, "")}
    found.report("store", False, "Redis: connection refused")
    now[0] = 109.0
    found.report("store", False, "Redis: no answer in time")
    assert found.seen() == {"store": Seen(False, 2.0, "Redis: no answer in time")}
