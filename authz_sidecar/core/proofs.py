"""Proofs of freshness: since when nothing is known to be missing here.

A proof (H, t) says: at t the head was H. It *holds* once applied ≥ H; until then it is pending. Staleness is
now - t of the newest one that holds. Two things prove:

* A pull proves its head at the instant it was *sent*: whatever was committed before is in the answer.
* A heartbeat proves its position at its own `at`, never at its arrival, for it can sit in a stopped broker
  or socket for a minute. `at` is of the User service's clock; it is mapped to ours by the offset measured
  on the last pull. That offset takes the request's sending for the service's `now`, so a mapped instant is
  never too late. A heartbeat that would be from the future shows that a clock was set: the offset is
  dropped, and heartbeats prove nothing until the next pull has measured it again. One that was held up
  while the clock was set back may be of the clock as it was, and would look younger by as much: up to the
  last instant that clock can have shown before the pull, the offset is the smallest that ever was.

A pending proof may name its revision's own time, too. If the revision that is then applied is of another
time, the proof was of another branch of this epoch (a restored backup) and proves nothing here.

All this is about the log. That the log says what the tables say, the User service finds out by comparing
them part by part; a proof carries the instant since which every part was compared. What was found then is in
the log by the head of the same proof, so the instant counts once the proof holds. It is mapped as `at` is.

Instants are seconds on the monotonic clock, `now` among them.
"""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

from authz_sidecar.core.entities import Heartbeat, Position

HEARTBEAT_SILENCE = 3.0
"""A broker that is silent for longer has failed."""
CLOCK_TOLERANCE = 0.25
"""A heartbeat mapped further than this into the future shows that a clock was set."""
MAX_PENDING = 1_000
NEVER: Final = float("-inf")
UNBOUNDED: Final = float("inf")


class _Proof(NamedTuple):
    """At `instant` the head was `revision`, made at `revision_at` (if that is known), and contained what the
    comparisons up to `audited_at` had found."""

    revision: int
    revision_at: str | None
    instant: float
    audited_at: float


class Proofs:
    """The proofs of one process's replica. `max_staleness`: how old one may be for a decision, in seconds."""

    def __init__(self, max_staleness: float = float("inf")) -> None:
        self.silence = min(HEARTBEAT_SILENCE, max_staleness / 2)
        """Without a heartbeat this young the broker is not heard: the feed must be asked in time."""
        self.proven_at: float | None = None
        """The instant of the newest proof that holds; `None` without one."""
        self.heartbeat_at: float | None = None
        """When the newest credible heartbeat was made, on our clock."""
        self._audited_at = NEVER
        self._pending: deque[_Proof] = deque(maxlen=MAX_PENDING)
        self._offset: float | None = None
        """Our clock minus the User service's."""
        self._former_offset = UNBOUNDED
        self._former_until = NEVER
        """What the User service's clock can have shown while its offset was another one."""

    def staleness(self, now: float) -> float | None:
        """Seconds since the newest proof that holds; `None` without one."""
        if self.proven_at is None:
            return None
        age = now - self.proven_at
        return age if age > 0.0 else 0.0

    def audit_age(self, now: float) -> float:
        """Seconds since every part of the log had been compared with the tables; infinite: not known."""
        age = now - self._audited_at
        return age if age > 0.0 else 0.0

    @property
    def audited_at(self) -> float:
        """Since when every part of the log had been compared with the tables; `NEVER`: not known."""
        return self._audited_at

    def hears_broker(self, now: float) -> bool:
        """Whether heartbeats arrive in time, so that the feed need not be polled."""
        return self.heartbeat_at is not None and now - self.heartbeat_at <= self.silence

    def restart(self) -> None:
        """We stand on another history, which may live on another machine, with another clock."""
        self.proven_at = None
        self.heartbeat_at = None
        self._audited_at = NEVER
        self._pending.clear()
        self._offset = None
        self._former_offset, self._former_until = UNBOUNDED, NEVER

    def pulled(
        self,
        head: int,
        service_now: float,
        sent_at: float,
        now: float,
        applied: Position,
        audited_at: float | None = None,
    ) -> None:
        """A request sent at `sent_at` was answered by `now`: then the head was `head`."""
        self._drop_offset(now)
        self._offset = sent_at - service_now
        self.prove(head, sent_at, applied, None, mapped(audited_at, self._offset, sent_at))

    def heard(self, beat: Heartbeat, now: float, applied: Position) -> bool:
        """Take a heartbeat for a proof. `False`: a clock was set, and only a pull can measure it again."""
        if self._offset is None:
            return True
        offset = self._offset
        if beat.at <= self._former_until and self._former_offset < offset:
            offset = self._former_offset
        made_at = beat.at + offset
        if made_at > now + CLOCK_TOLERANCE:
            self._drop_offset(now)
            return False
        made_at = min(made_at, now)
        self.heartbeat_at = max(made_at, self.heartbeat_at or made_at)
        audited_at = mapped(beat.audited_at, offset, made_at)
        self.prove(beat.position.revision, made_at, applied, beat.position.at, audited_at)
        return True

    def _drop_offset(self, now: float) -> None:
        """From now on it may be another one."""
        if self._offset is not None:
            self._former_offset = min(self._offset, self._former_offset)
            self._former_until = max(now - self._offset, self._former_until)
            self._offset = None

    def prove(
        self,
        revision: int,
        instant: float,
        applied: Position,
        revision_at: str | None = None,
        audited_at: float = NEVER,
    ) -> None:
        """At `instant` the head was `revision`."""
        if applied.revision >= revision:
            self._hold(instant, audited_at)
        else:
            self._pending.append(_Proof(revision, revision_at, instant, audited_at))

    def moved(self, applied: Position) -> bool:
        """The next revision is applied. `False`: a proof that was to hold now is of another branch."""
        agrees = True
        while self._pending and self._pending[0].revision <= applied.revision:
            proof = self._pending.popleft()
            at = proof.revision_at
            if at is None or (proof.revision, at) == (applied.revision, applied.at):
                self._hold(proof.instant, proof.audited_at)
            else:
                agrees = False
        return agrees

    def _hold(self, instant: float, audited_at: float) -> None:
        self.proven_at = instant if self.proven_at is None else max(instant, self.proven_at)
        self._audited_at = max(audited_at, self._audited_at)


def mapped(instant: float | None, offset: float, latest: float) -> float:
    """An instant of the User service on our clock, `latest` at most; `NEVER` where there is none."""
    return NEVER if instant is None else min(instant + offset, latest)
