"""What is decided, by which rules, and what becomes of what is under way."""

from __future__ import annotations

from lab.simulation.mutants.mutant import Edit, Mutant

DECISION = "authz_sidecar/core/decision.py"
REPLICA = "authz_sidecar/replica/replica.py"
PIPELINE = "authz_sidecar/pipeline.py"
CACHED = "authz_sidecar/authz/cached.py"
PROOFS = "authz_sidecar/core/proofs.py"

MUTANTS = (
    Mutant(
        "staleness-not-enforced",
        (
            Edit(
                DECISION, "return staleness is None or staleness > max_staleness", "return staleness is None"
            ),
        ),
        seed=0,
    ),
    Mutant(
        "losses-prove-all",
        (Edit(PROOFS, "if proof.whole:", "if True:"),),
        seed=5,
    ),
    Mutant(
        "audit-age-ignored",
        (Edit(DECISION, "if audit_age > max_audit_age:", "if False:"),),
        seed=23,
    ),
    Mutant(
        "wanted-revision-ignored",
        (Edit(DECISION, "    if asked is not None and not _includes(position, asked):", "    if False:"),),
        seed=0,
    ),
    Mutant(
        "fresher-rule-ignored",
        (
            Edit(
                CACHED, "bound if bound < self._max_staleness else self._max_staleness", "self._max_staleness"
            ),
        ),
        seed=0,
    ),
    Mutant(
        "ended-sessions-go-on",
        (
            Edit(
                DECISION, "revoked = ended is not None and identity.issued_after <= ended", "revoked = False"
            ),
        ),
        seed=0,
    ),
    Mutant(
        "under-way-goes-on",
        (
            Edit(
                PIPELINE,
                "if verdict.allowed or not decision.enforced:",
                "if verdict.allowed or decision.enforced:",
            ),
        ),
        seed=0,
    ),
    Mutant("under-way-not-told", (Edit(REPLICA, "            self._changed(changed)\n", ""),), seed=0),
    Mutant(
        "rules-not-reconsidered",
        (Edit(PIPELINE, "if decision.policy != self.policy.digest:", "if False:"),),
        seed=2,
    ),
    Mutant(
        "waits-for-old-rules",
        (Edit(PIPELINE, "while case.policy is not self.policy:", "while False:"),),
        seed=14,
    ),
)
