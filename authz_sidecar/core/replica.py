"""The state machine that keeps the copy honest. One rule: **applied moves only from R to R+1**, or to
the revision of a snapshot.

The caller reports what happened (`receive`, `heartbeat`, `pulled`, …) and gets back what to do at once:
`Apply` in the order given, `Hold` and `Ignore` for its counters. It asks `step` what to do next: one
`Pull`, `Resync` or `AskHead` at a time, or `Wait` (`core.steps`). How fresh all of it is, is proved in
`core.proofs`. Nothing here does I/O; `now` is always the monotonic clock in seconds, and `sent_at` the
instant a request was sent by that clock.
"""

from __future__ import annotations

from authz_sidecar.core.entities import Change, Heartbeat, Position
from authz_sidecar.core.phases import TRANSITIONS, Event, Phase
from authz_sidecar.core.proofs import NEVER, UNBOUNDED, Proofs, Proved
from authz_sidecar.core.steps import Apply, AskHead, Effect, Hold, Ignore, Pull, Resync, Step, Wait
from authz_sidecar.core.wire import Head

GAP_GRACE = 0.05
"""How long a heartbeat may be ahead of its changes before it is a gap."""
CONFIRM_INTERVAL = 10.0
"""With heartbeats a pull still measures the clock offset this often."""
DEMAND_SPACING = 0.1
"""Pulls on demand are at least this far apart."""
ASK_SPACING = 1.0
"""So are questions for the head."""
DISMISSED_FOR = 10.0
"""How long an epoch that the User service disowned is ignored without asking again."""
FIRST_RETRY, LAST_RETRY = 0.1, 2.0
MAX_HELD = 2_000
"""Changes held back while the one before is missing; more are dropped, the feed has them."""


class ReplicaMachine:
    """The state of one process's replica. Not for use from more than one thread."""

    def __init__(self, feed_interval: float, max_staleness: float, max_audit_age: float = UNBOUNDED) -> None:
        self.phase = Phase.COLD
        self.was_live = False
        self.applied: Position | None = None
        self.proofs = Proofs(max_staleness, max_audit_age)
        self._feed_interval = feed_interval
        self._max_staleness = max_staleness
        self._head = 0
        self._heard_at = 0.0
        """When a message last raised `_head`."""
        self._held: dict[tuple[str, int], tuple[Change, float]] = {}
        self._gap_due: float | None = None
        self._gap_pulled = False
        self._demanded = False
        self._sent_at = float("-inf")
        self._pulled_from: Position | None = None
        self._resync: Resync | None = None
        self._suspect: str | None = None
        self._asked_at = float("-inf")
        self._dismissed: tuple[str, float] | None = None
        self._failures = 0
        self._retry_at = float("-inf")

    @property
    def head(self) -> int | None:
        """The newest revision heard of in our epoch."""
        return self._head if self.applied else None

    # What happened

    def begin(self) -> None:
        """The subscription is being opened; find a position to start from."""
        self._enter(Event.BEGAN)
        self._resync = Resync("start")

    def restart(
        self, position: Position, head: int, sent_at: float, now: float, audited_at: float = NEVER
    ) -> list[Effect]:
        """Stand where a copy stands of which a request sent at `sent_at` said that the head was `head`.

        The copy is a snapshot (then its own revision is the head), or one that the User service knows.
        `audited_at` is on our clock.
        """
        effects = self._stand_at(position, now)
        self.proofs.prove(head, sent_at, position, None, audited_at)
        self._hear(head, now)
        if self._position.revision < self._head:
            self._gap_due = now
        self._succeeded()
        self.settle(now)
        return effects

    def receive(self, change: Change, now: float) -> list[Effect]:
        """A revision arrived, from wherever."""
        applied = self.applied
        if applied is None:
            return self._hold(change, now)
        position = change.position
        if position.epoch != applied.epoch:
            return [self._foreign(position.epoch, now)]
        if position.revision <= applied.revision:
            if position.revision == applied.revision and position.at != applied.at:
                self._demanded = True  # a history that split before this revision: is ours the live one?
            return [Ignore("duplicate")]
        self._hear(position.revision, now)
        if position.revision > applied.revision + 1:
            self._gap_due = now
            held = self._hold(change, now)
            self.settle(now)
            return held
        if not _same_branch(change.previous_at, applied.at):
            self._demanded = True  # of another branch: is ours the live one?
            return [Ignore("forked")]
        effects: list[Effect] = [self._advance(change), *self._release()]
        self.settle(now)
        return effects

    def heartbeat(self, beat: Heartbeat, now: float) -> list[Effect]:
        """The relay says where the head was."""
        applied, head = self.applied, beat.position
        if applied is None:
            return []
        if head.epoch != applied.epoch:
            return [self._foreign(head.epoch, now)]
        same = head.revision == applied.revision
        if head.revision < applied.revision or (same and not _same_branch(head.at, applied.at)):
            self._demanded = True  # an old message, or a database that was restored
            return []
        self._hear(head.revision, now)
        if not same and self._gap_due is None:
            self._gap_due = now + GAP_GRACE
        if head.revision >= self._head and not self.proofs.heard(beat, now, applied):
            self._demanded = True
        self.settle(now)
        return []

    def malformed(self) -> None:
        """A message could not be read: whatever it said is fetched from the feed."""
        self._demanded = True

    def demand(self) -> None:
        """Somebody needs a pull that is sent from now on."""
        self._demanded = True

    def pulling(self, sent_at: float) -> None:
        """The pull that `step` asked for is being sent."""
        self._sent_at = sent_at
        self._pulled_from = self.applied
        self._demanded = False

    def pulled(
        self,
        head: int,
        service_now: float,
        sent_at: float,
        now: float,
        *,
        proved: Proved = "all",
        audited_at: float | None = None,
    ) -> None:
        """A pull ended well, after `receive` was called for each of its changes.

        `service_now` and `audited_at` are by the User service's clock.
        `proved` is how much of what was committed by then the log contains: where that is nothing for sure,
        nothing is known of now.
        """
        applied = self._position
        if proved != "nothing":
            whole = proved == "all"
            self.proofs.pulled(head, service_now, sent_at, now, applied, audited_at, whole=whole)
        if self._heard_at < sent_at:
            self._head = head  # what was heard before the request was sent cannot be beyond its answer
        self._head = max(self._head, head, applied.revision)
        self._held = {key: held for key, held in self._held.items() if held[1] >= sent_at or key[1] <= head}
        if applied.revision >= head or applied != self._pulled_from:
            self._succeeded()
        else:
            self.failed(now)  # an answer that does not lead to the head it names
        if applied.revision < head:
            self._gap_due = now
        elif applied.revision < self._head:
            self._gap_due = self._gap_due or now + GAP_GRACE
        else:
            self._close_gap()
        self.settle(now)

    def history_gone(self, now: float) -> None:
        """The feed cannot continue from `applied`."""
        self._resync = Resync("history_gone")
        self.settle(now)

    def asking(self, sent_at: float) -> None:
        """The question for the head is being sent."""
        self._asked_at = sent_at

    def head_answered(self, head: Head, now: float) -> None:
        """The User service says which epoch is current."""
        self._succeeded()
        suspect, self._suspect = self._suspect, None
        if head.epoch != self._position.epoch:
            self._resync = Resync("epoch")
        elif suspect is not None:
            self._dismissed = (suspect, now + DISMISSED_FOR)
        self.settle(now)

    def failed(self, now: float, jitter: float = 1.0) -> None:
        """The step could not be done; the next waits longer, times `jitter` (0 to 1)."""
        self._demanded = True  # whoever asked for this still waits, and what it was for is still true
        delay = min(FIRST_RETRY * 2**self._failures, LAST_RETRY)
        self._failures = min(self._failures + 1, 10)
        self._retry_at = now + delay * jitter

    # What to do next

    def step(self, now: float) -> Step:
        """The next thing to do; call it again after each, and when something has happened."""
        self.settle(now)
        if now < self._retry_at:
            return Wait(self._retry_at)
        if self._resync is not None:
            return self._resync
        if self.applied is None:
            return Wait(now + self._feed_interval)
        if self._suspect is not None and now >= self._asked_at + ASK_SPACING:
            return AskHead()
        return self._pull_or_wait(self.applied, now)

    def _pull_or_wait(self, applied: Position, now: float) -> Step:
        if self._gap_due is not None and self._gap_due <= now:
            first, self._gap_pulled = not self._gap_pulled, True
            return Pull(applied, "gap" if first else "more")
        proofs, hears_broker = self.proofs, self.proofs.hears_broker(now)
        interval = CONFIRM_INTERVAL if hears_broker else self._feed_interval
        routine = self._sent_at + interval
        demanded = self._sent_at + DEMAND_SPACING if self._demanded else routine
        if min(routine, demanded) <= now:
            return Pull(applied, "demand" if self._demanded else "routine")
        dues = [routine, demanded]
        if self._gap_due is not None:
            dues.append(self._gap_due)
        if self._suspect is not None:
            dues.append(self._asked_at + ASK_SPACING)
        if proofs.heartbeat_at is not None and hears_broker:
            dues.append(proofs.heartbeat_at + proofs.silence)
        if proofs.proven_at is not None and proofs.proven_at + self._max_staleness > now:
            dues.append(proofs.proven_at + self._max_staleness)
        return Wait(max(min(dues), now + 0.001))

    # Inside

    @property
    def _position(self) -> Position:
        if self.applied is None:
            raise AssertionError("nothing is asked of the feed before there is a position")
        return self.applied

    def _stand_at(self, position: Position, now: float) -> list[Effect]:
        self.applied = position
        self._head = position.revision
        self.proofs.restart()
        self._close_gap()
        self._resync = None
        self._suspect = None
        self._demanded = True
        self._held = {
            key: held
            for key, held in self._held.items()
            if key[0] == position.epoch and key[1] > position.revision
        }
        if self._held:
            self._hear(max(revision for _, revision in self._held), now)
        return self._release()

    def _advance(self, change: Change) -> Apply:
        position = self.applied = change.position
        if not self.proofs.moved(position):
            self._demanded = True  # it was of another branch: is ours the live one?
        if position.revision >= self._head:
            self._head = position.revision
            self._close_gap()
        return Apply(change)

    def _close_gap(self) -> None:
        self._gap_due = None
        self._gap_pulled = False

    def _release(self) -> list[Effect]:
        """Apply what was held back for exactly the position reached."""
        effects: list[Effect] = []
        while (held := self._held.pop(self._next_key(), None)) is not None:
            if not _same_branch(held[0].previous_at, self._position.at):
                self._demanded = True
                break
            effects.append(self._advance(held[0]))
        return effects

    def _next_key(self) -> tuple[str, int]:
        return self._position.epoch, self._position.revision + 1

    def _hold(self, change: Change, now: float) -> list[Effect]:
        key = (change.position.epoch, change.position.revision)
        if key in self._held or len(self._held) < MAX_HELD:
            self._held[key] = (change, now)
        return [Hold()]

    def _hear(self, revision: int, now: float) -> None:
        if revision > self._head:
            self._head = revision
            self._heard_at = now

    def _foreign(self, epoch: str, now: float) -> Ignore:
        dismissed = self._dismissed is not None and self._dismissed[0] == epoch and now < self._dismissed[1]
        if not dismissed:
            self._suspect = epoch
        return Ignore("foreign_epoch")

    def _succeeded(self) -> None:
        self._failures = 0
        self._retry_at = float("-inf")

    def settle(self, now: float) -> None:
        """Bring the phase in line with what is known and with the time that has passed."""
        if self.applied is None:
            return
        proven_at = self.proofs.proven_at
        if proven_at is None or now - proven_at > self._max_staleness:
            self._enter(Event.EXPIRED)
        elif self._resync is not None or (self._gap_due is not None and self._gap_due <= now):
            self._enter(Event.GAP)
        else:
            self._enter(Event.CAUGHT_UP)

    def _enter(self, event: Event) -> None:
        self.phase = TRANSITIONS.get((self.phase, event), self.phase)
        self.was_live = self.was_live or self.phase is Phase.LIVE


def _same_branch(one: str | None, other: str | None) -> bool:
    """Whether two times of one revision agree. Where one is not known, the number alone must do."""
    return None in (one, other) or one == other
