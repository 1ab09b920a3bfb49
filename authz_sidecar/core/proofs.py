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

Who is let through must not have lost what he is let through by; who is refused must not have gained it.
While the User service takes in a lot it can often prove the one and not the other: that all which anybody had
*lost* was in the log at t. Such a proof counts for `losses_staleness` alone.

All this is about the log. That the log says what the tables say, the User service finds out by comparing
them part by part; a proof carries the instant since which every part was compared. What was found then is in
the log by the head of the same proof, so the instant counts once the proof holds. It is mapped as `at` is.

Instants are seconds on the monotonic clock, `now` among them.
"""

from __future__ import annotations

from collections import deque
from typing import Final, Literal, NamedTuple

from authz_sidecar.core.entities import Heartbeat, Position

HEARTBEAT_SILENCE = 3.0
"""A broker that is silent for longer has failed."""
CLOCK_TOLERANCE = 0.25
"""A heartbeat mapped further than this into the future shows that a clock was set."""
MAX_PENDING = 1_000
Proved = Literal["all", "losses", "nothing"]
"""What of all that was committed is in the log for sure."""
NEVER: Final = float("-inf")
UNBOUNDED: Final = float("inf")


class _Proof(NamedTuple):
    """At `instant` the head was `revision`, made at `revision_at` (if that is known), and contained what the
    comparisons up to `audited_at` had found. Not `whole`: of what had been lost."""

    revision: int
    revision_at: str | None
    instant: float
    audited_at: float
    whole: bool


class Proofs:
    """The proofs of one process's replica. Bounds, in seconds, are of what a decision may rest on."""

    def __init__(self, max_staleness: float = UNBOUNDED, max_audit_age: float = UNBOUNDED) -> None:
        self._max_staleness = max_staleness
        self._max_audit_age = max_audit_age
        self.silence = min(HEARTBEAT_SILENCE, max_staleness / 2)
        """Without a heartbeat this young the broker is not heard: the feed must be asked in time."""
        self.proven_at: float | None = None
        """The instant of the newest proof that holds; `None` without one."""
        self.losses_proven_at: float | None = None
        """The same, of what had been lost."""
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
        return _age(self.proven_at, now)

    def losses_staleness(self, now: float) -> float | None:
        """Seconds since the newest proof that nothing is missing that was lost till then; or `None`."""
        return _age(self.losses_proven_at, now)

    def audit_age(self, now: float) -> float:
        """Seconds since every part of the log had been compared with the tables; infinite: not known."""
        age = now - self._audited_at
        return age if age > 0.0 else 0.0

    @property
    def audited_at(self) -> float:
        """Since when every part of the log had been compared with the tables; `NEVER`: not known."""
        return self._audited_at

    def fresh_for(self, now: float) -> float:
        """Seconds for which decisions stay possible without another proof; below 0 they are not."""
        return self._left(self.staleness(now), now)

    def allows_for(self, now: float) -> float:
        """Seconds for which those stay possible that let somebody through: as many, or more."""
        return self._left(self.losses_staleness(now), now)

    def _left(self, staleness: float | None, now: float) -> float:
        left = NEVER if staleness is None else self._max_staleness - staleness
        if self._max_audit_age == UNBOUNDED:
            return left
        return min(left, self._max_audit_age - self.audit_age(now))

    def hears_broker(self, now: float) -> bool:
        """Whether heartbeats arrive in time, so that the feed need not be polled."""
        return self.heartbeat_at is not None and now - self.heartbeat_at <= self.silence

    def restart(self) -> None:
        """We stand on another history, which may live on another machine, with another clock."""
        self.proven_at = self.losses_proven_at = None
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
        *,
        whole: bool = True,
    ) -> None:
        """A request sent at `sent_at` was answered by `now`: then the head was `head`.

        Not `whole`: only what had been lost by then is in it for sure.
        """
        self._drop_offset(now)
        self._offset = sent_at - service_now
        self.prove(head, sent_at, applied, None, mapped(audited_at, self._offset, sent_at), whole=whole)

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
        *,
        whole: bool = True,
    ) -> None:
        """At `instant` the head was `revision`."""
        proof = _Proof(revision, revision_at, instant, audited_at, whole)
        if applied.revision >= revision:
            self._hold(proof)
        else:
            self._pending.append(proof)

    def moved(self, applied: Position) -> bool:
        """The next revision is applied. `False`: a proof that was to hold now is of another branch."""
        agrees = True
        while self._pending and self._pending[0].revision <= applied.revision:
            proof = self._pending.popleft()
            at = proof.revision_at
            if at is None or (proof.revision, at) == (applied.revision, applied.at):
                self._hold(proof)
            else:
                agrees = False
        return agrees

    def _hold(self, proof: _Proof) -> None:
        self.losses_proven_at = _latest(proof.instant, self.losses_proven_at)
        if proof.whole:
            self.proven_at = _latest(proof.instant, self.proven_at)
            self._audited_at = max(proof.audited_at, self._audited_at)


def _latest(instant: float, before: float | None) -> float:
    return instant if before is None else max(instant, before)


def _age(instant: float | None, now: float) -> float | None:
    if instant is None:
        return None
    age = now - instant
    return age if age > 0.0 else 0.0


def mapped(instant: float | None, offset: float, latest: float) -> float:
    """An instant of the User service on our clock, `latest` at most; `NEVER` where there is none."""
    return NEVER if instant is None else min(instant + offset, latest)
