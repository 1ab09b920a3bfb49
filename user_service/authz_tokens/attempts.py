"""Counts attempts to sign in, in the database: all processes share the counts, and none is lost."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db import transaction
from django.db.models import F, Q

from authz_tokens.models import AttemptCount

KEPT = 100_000
"""Counts that are kept at most: those of windows that are over go first, then the oldest."""


@dataclass(frozen=True)
class Limits:
    """Attempts in a window of so many seconds, for one account from one address."""

    attempts: int
    seconds: int
    overall: int
    """How many times as many an account or an address may make before it is slowed."""
    slowed_seconds: int

    def window_end(self, at: datetime) -> datetime:
        return datetime.fromtimestamp((at.timestamp() // self.seconds + 1) * self.seconds, UTC)


def count(account: str, address: str, limits: Limits, at: datetime) -> float:
    """Count one attempt that is made now. Seconds to wait, in which case it must not be made; else 0.

    What must wait is not counted: it has learnt nothing.
    """
    window_ends = limits.window_end(at)
    with transaction.atomic():
        # All in this order, which leaves no two that wait for each other.
        both, *overall = (
            _count_of(who, window_ends)
            for who in (f"both\0{account}\0{address}", f"account\0{account}", f"address\0{address}")
        )
        if both.attempts >= limits.attempts:
            return (window_ends - at).total_seconds()
        if any(each.attempts >= limits.attempts * limits.overall for each in overall) and (
            wait := _slowed(both, limits, at)
        ):
            return wait
        # Compare and count: of several at the same time none goes beyond the limit.
        still = AttemptCount.objects.filter(pk=both.pk, attempts__lt=limits.attempts)
        if not still.update(attempts=F("attempts") + 1, let_in_at=None):
            return (window_ends - at).total_seconds()
        for each in overall:
            AttemptCount.objects.filter(pk=each.pk).update(attempts=F("attempts") + 1)
    _forget(at, newest=overall[-1].pk)
    return 0.0


def _slowed(both: AttemptCount, limits: Limits, at: datetime) -> float:
    """The first time an appointment is made; who keeps it is let in."""
    if both.let_in_at is None:
        AttemptCount.objects.filter(pk=both.pk).update(
            let_in_at=at + timedelta(seconds=limits.slowed_seconds)
        )
        return limits.slowed_seconds
    return max(0.0, (both.let_in_at - at).total_seconds())


def _count_of(who: str, window_ends: datetime) -> AttemptCount:
    """Hashed, because what people type into the name field is sometimes their password."""
    digest = hashlib.sha256(who.encode(errors="surrogatepass")).hexdigest()
    return AttemptCount.objects.get_or_create(who=digest, window_ends=window_ends)[0]


def _forget(at: datetime, newest: int) -> None:
    AttemptCount.objects.filter(Q(window_ends__lte=at) | Q(pk__lte=newest - KEPT)).delete()
