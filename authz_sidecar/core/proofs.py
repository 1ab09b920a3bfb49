"""Proofs of freshness: since when nothing is known to be missing here.

A proof (H, t) says: at t the head was H. It *holds* once applied ≥ H; until then it is pending. Staleness is
now - t of the newest one that holds. Two things prove:

* A pull proves its head at the instant it was *sent*: whatever was committed before is in the answer.
* A heartbeat proves its position at its own `at`, never at its arrival, for it can sit in a stopped broker
  or socket for a minute. `at` is of the User service's clock; it is mapped to ours by the offset measured
  on the last pull. That offset takes the request's sending for the service's `now`, so a mapped instant is
  never too late. A heartbeat that would be from the future shows that a clock was set: the offset is
  dropped, and heartbeats prove nothing until the next pull has measured it again.

A pending proof may name its revision's own time, too. If the revision that is then applied is of another
time, the proof was of another branch of this epoch (a restored backup) and proves nothing here.

Instants are seconds on the monotonic clock, `now` among them.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from authz_sidecar.core.entities import Heartbeat, Position

HEARTBEAT_SILENCE = 3.0
"""Without a heartbeat this young the broker is not heard."""
CLOCK_TOLERANCE = 0.25
"""A heartbeat mapped further than this into the future shows that a clock was set."""
MAX_PENDING = 1_000


class _Proof(NamedTuple):
    """At `instant` the head was `revision`, made at `revision_at` (if that is known)."""

    revision: int
    revision_at: str | None
    instant: float


class Proofs:
    """The proofs of one process's replica."""

    def __init__(self) -> None:
        self.proven_at: float | None = None
        """The instant of the newest proof that holds; `None` without one."""
        self.heartbeat_at: float | None = None
        """When the newest credible heartbeat was made, on our clock."""
        self._pending: deque[_Proof] = deque(maxlen=MAX_PENDING)
        self._offset: float | None = None
        """Our clock minus the User service's."""

    def staleness(self, now: float) -> float | None:
        """Seconds since the newest proof that holds; `None` without one."""
        if self.proven_at is None:
            return None
        age = now - self.proven_at
        return age if age > 0.0 else 0.0

    def hears_broker(self, now: float) -> bool:
        """Whether heartbeats arrive in time, so that the feed need not be polled."""
        return self.heartbeat_at is not None and now - self.heartbeat_at <= HEARTBEAT_SILENCE

    def restart(self) -> None:
        """We stand on another history, which may live on another machine, with another clock."""
        self.proven_at = None
        self.heartbeat_at = None
        self._pending.clear()
        self._offset = None

    def pulled(self, head: int, service_now: float, sent_at: float, applied: Position) -> None:
        """A request sent at `sent_at` was answered: then the head was `head`."""
        self._offset = sent_at - service_now
        self.prove(head, sent_at, applied)

    def heard(self, beat: Heartbeat, now: float, applied: Position) -> bool:
        """Take a heartbeat for a proof. `False`: a clock was set, and only a pull can measure it again."""
        if self._offset is None:
            return True
        made_at = beat.at + self._offset
        if made_at > now + CLOCK_TOLERANCE:
            self._offset = None
            return False
        made_at = min(made_at, now)
        self.heartbeat_at = max(made_at, self.heartbeat_at or made_at)
        self.prove(beat.position.revision, made_at, applied, beat.position.at)
        return True

    def prove(self, revision: int, instant: float, applied: Position, revision_at: str | None = None) -> None:
        """At `instant` the head was `revision`."""
        if applied.revision >= revision:
            self._hold(instant)
        else:
            self._pending.append(_Proof(revision, revision_at, instant))

    def moved(self, applied: Position) -> bool:
        """The next revision is applied. `False`: a proof that was to hold now is of another branch."""
        agrees = True
        while self._pending and self._pending[0].revision <= applied.revision:
            proof = self._pending.popleft()
            at = proof.revision_at
            if at is None or (proof.revision, at) == (applied.revision, applied.at):
                self._hold(proof.instant)
            else:
                agrees = False
        return agrees

    def _hold(self, instant: float) -> None:
        self.proven_at = instant if self.proven_at is None else max(instant, self.proven_at)
