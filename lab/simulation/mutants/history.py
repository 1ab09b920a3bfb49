"""Where a process stands in the history, and how fresh that is."""

from __future__ import annotations

from lab.simulation.mutants.mutant import Edit, Mutant

CORE = "authz_sidecar/core/replica.py"
PROOFS = "authz_sidecar/core/proofs.py"
REPLICA = "authz_sidecar/replica/replica.py"
FEED = "authz_sidecar/feed/feed.py"

ANY_BRANCH = Edit(CORE, "return None in (one, other) or one == other", "return True")

MUTANTS = (
    # Behind the next three stands a second rule, that a change says what came before it: both are undone.
    Mutant(
        "gap-rule-dropped",
        (Edit(CORE, "if position.revision > applied.revision + 1:", "if False:"), ANY_BRANCH),
        seed=1,
    ),
    Mutant(
        "older-revision-applied",
        (
            Edit(CORE, "if position.revision <= applied.revision:", "if position == applied:"),
            ANY_BRANCH,
        ),
        seed=0,
    ),
    Mutant(
        "epoch-ignored",
        (Edit(CORE, "if position.epoch != applied.epoch:", "if not position.epoch:"), ANY_BRANCH),
        seed=4,
    ),
    Mutant("branches-not-told-apart", (ANY_BRANCH,), seed=4),
    Mutant(
        "arrival-taken-for-freshness",
        (Edit(PROOFS, "made_at = min(made_at, now)", "made_at = now"),),
        seed=82,
    ),
    Mutant(
        "former-clock-forgotten",
        (Edit(PROOFS, "if beat.at <= self._former_until and", "if beat.at < NEVER and"),),
        seed=82,
    ),
    Mutant(
        "silence-longer-than-the-bound",
        (Edit(PROOFS, "min(HEARTBEAT_SILENCE, max_staleness / 2)", "HEARTBEAT_SILENCE"),),
        seed=48,
    ),
    Mutant(
        "pull-proves-its-arrival",
        (
            Edit(
                CORE,
                "self.proofs.pulled(head, service_now, sent_at,",
                "self.proofs.pulled(head, service_now, now,",
            ),
        ),
        seed=0,
    ),
    Mutant(
        "warm-start-unconfirmed",
        (
            Edit(
                REPLICA,
                "known = await self._user_service.confirm(copy.position) if copy is not None else None",
                "known = Confirmation(copy.position, copy.position.revision, self.now()) if copy else None",
            ),
        ),
        seed=4,
    ),
    Mutant(
        "worker-left-where-it-stands",
        (Edit(FEED, "near.history.after(self.at)", "near.history.after(self.at) or []"),),
        seed=11,
    ),
)
