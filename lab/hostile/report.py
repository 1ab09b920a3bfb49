"""What came of the waves, as a table."""

from __future__ import annotations

from lab.hostile.run import Outcome

HEAD = (
    f"{'clients':<34} {'opened':>7} {'standing':>8} {'MiB':>6} {'of':>5} {'again':>6} "
    f"{'honest':>7} {'failed':>6} {'p50 ms':>7} {'times':>6} {'p99 ms':>7} {'times':>6} {'livez':>6}"
)


def line(outcome: Outcome) -> str:
    """One wave."""
    noticed, misses = outcome.noticed, outcome.misses()
    return (
        f"{outcome.wave.name:<34} {outcome.tally.opened:>7,} {outcome.tally.standing:>8,} "
        f"{outcome.grown:>6.1f} {outcome.bound:>5.0f} {outcome.grown_again:>6.1f} "
        f"{len(noticed.seconds):>7,} {len(noticed.failures):>6,} "
        f"{noticed.quantile(0.5) * 1e3:>7.1f} {outcome.median:>6.1f} "
        f"{noticed.quantile(0.99) * 1e3:>7.1f} {outcome.tail:>6.1f} "
        f"{noticed.lives:>3}/{noticed.lives + noticed.dead:<3} "
        + ("FAILED: " + ", ".join(misses) if misses else "ok")
    )
