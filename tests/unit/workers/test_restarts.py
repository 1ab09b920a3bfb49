"""Who dies soon is started again later each time, and who has lived for a while at once."""

from __future__ import annotations

from authz_sidecar.workers.restarts import (
    FIRST_PATIENCE,
    LAST_DELAY,
    LAST_PATIENCE,
    STEADY_SECONDS,
    Restarts,
)


def test_the_first_is_replaced_at_once_and_the_others_ever_later() -> None:
    restarts, now, delays = Restarts(), 100.0, []
    for _ in range(10):
        due = restarts.ended(now, started_at=now - 0.5)
        delays.append(due - now)
        now = due + 0.5
    assert delays[0] == 0.0
    assert delays == sorted(delays)
    assert max(delays) == LAST_DELAY


def test_who_has_lived_for_a_while_is_replaced_at_once() -> None:
    restarts = Restarts()
    for _ in range(5):
        restarts.ended(100.0, started_at=99.0)
    assert restarts.ended(200.0, started_at=200.0 - STEADY_SECONDS - FIRST_PATIENCE) == 200.0


def test_a_process_that_is_silent_again_and_again_is_given_more_time() -> None:
    """It may be busy, and its successor would be, too."""
    restarts, patience = Restarts(), []
    for _ in range(10):
        patience.append(restarts.patience)
        restarts.ended(100.0, started_at=98.0, silent=True)
    assert patience[:3] == [FIRST_PATIENCE, 2 * FIRST_PATIENCE, 4 * FIRST_PATIENCE]
    assert max(patience) == LAST_PATIENCE
    restarts.ended(1000.0, started_at=0.0)
    assert restarts.patience == FIRST_PATIENCE
