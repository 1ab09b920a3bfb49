"""What is measured, for how long, how often and how fast."""

from __future__ import annotations

from dataclasses import dataclass

PARTS = ("proxies", "decision", "memory", "overload")


@dataclass(frozen=True)
class Plan:
    """Of the proxies. Times in seconds, rates in requests a second."""

    rounds: int = 9
    load_seconds: float = 3
    paced_seconds: float = 2
    fast_rate: float = 1_000
    """Below what every contender carries that does not ask per request."""
    slow_rate: float = 25
    """Below what those carry that ask the User service."""


QUICK = Plan(rounds=1, load_seconds=1, paced_seconds=0.5, fast_rate=200, slow_rate=20)
