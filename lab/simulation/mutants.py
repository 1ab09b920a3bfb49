"""Rules of the sidecar broken on purpose: the simulator alone must notice, each within so many seeds.

    scripts/simulate --mutants            all of them
    scripts/simulate --mutants NAME ...   the shrunk stories of these

Each mutant is made in a copy of the package. A place that is no longer found in the code is as bad as a
mutant that is not caught.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from lab import ROOT

SEEDS = 200

CORE = "authz_sidecar/core/replica.py"
PROOFS = "authz_sidecar/core/proofs.py"
DECISION = "authz_sidecar/core/decision.py"
NEAR = "authz_sidecar/replica/near_cache.py"
REPLICA = "authz_sidecar/replica/replica.py"
SYNC = "authz_sidecar/replica/store_sync.py"
DRIFT = "authz_sidecar/replica/drift.py"
WAITING = "authz_sidecar/replica/waiting.py"
PIPELINE = "authz_sidecar/pipeline.py"
CACHED = "authz_sidecar/authz/cached.py"
FEED = "authz_sidecar/feed/feed.py"
EXCHANGE = "authz_sidecar/proxy/exchange.py"
POOL = "authz_sidecar/proxy/pool.py"
UPSTREAM = "authz_sidecar/proxy/upstream.py"

ADMITTED = "later = None if history is None else history.after(read_at)"
ADMITTED_FROM_ANYWHERE = "later = [] if history is None else history.after(read_at) or []"
NEWER = "if entity.revision > here.revision:"


@dataclass(frozen=True, slots=True)
class Edit:
    """`before`, found exactly once in `path`, becomes `after`."""

    path: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Mutant:
    """`seed`: the first from 0 on that caught it when it was last tried with all of them."""

    name: str
    edits: tuple[Edit, ...]
    seed: int | None = None


ANY_BRANCH = Edit(CORE, "return None in (one, other) or one == other", "return True")

MUTANTS = (
    # Behind the next three stands a second rule, that a change says what came before it: both are undone.
    Mutant(
        "gap-rule-dropped",
        (Edit(CORE, "if position.revision > applied.revision + 1:", "if False:"), ANY_BRANCH),
        seed=0,
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
    Mutant(
        "arrival-taken-for-freshness",
        (Edit(PROOFS, "made_at = min(made_at, now)", "made_at = now"),),
        seed=43,
    ),
    Mutant(
        "revision-split",
        (
            Edit(
                NEAR,
                "for entity in change.entities:\n            if",
                "for entity in change.entities[:1]:\n            if",
            ),
        ),
        seed=0,
    ),
    Mutant(
        "invalidation-skipped",
        (Edit(NEAR, "if entity.key in entities:", "if entity.key not in entities:"),),
        seed=0,
    ),
    # Two rules stand behind each other: a position on our own history, and no entity newer than ours.
    Mutant(
        "inadmissible-fill",
        (Edit(NEAR, ADMITTED, ADMITTED_FROM_ANYWHERE), Edit(NEAR, NEWER, "if False:")),
        seed=0,
    ),
    Mutant(
        "missing-is-empty",
        (
            Edit(
                WAITING,
                "found = [entity for entity in reading.entities if entity is not None]",
                "found = [e or Entity(k, 0, None) for k, e in zip(keys, reading.entities, strict=True)]",
            ),
        ),
        seed=1,
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
    Mutant(
        "former-clock-forgotten",
        (Edit(PROOFS, "if beat.at <= self._former_until and", "if beat.at < NEVER and"),),
    ),
    # What was found by simulation, and mended: undone again.
    Mutant("copy-ahead-taken-over", (Edit(NEAR, ADMITTED, ADMITTED_FROM_ANYWHERE),), seed=0),
    Mutant(
        "drift-repaired-from-any-history",
        (
            Edit(
                DRIFT,
                "if not (self._near.holds(as_of) and self._near.holds(reading.copy.position)):",
                "if reading.copy.position.epoch != as_of.epoch:",
            ),
            Edit(
                DRIFT, "if not await self._reached(snapshot.position.revision, REACH_SECONDS):", "if False:"
            ),
        ),
        seed=86,
    ),
    Mutant(
        "position-waits-for-the-store",
        (
            Edit(
                REPLICA,
                "        copy = await self.store_sync.current()\n",
                "        while await self.store_sync._advance():\n            pass\n"
                "        copy = await self.store_sync.current()\n",
            ),
        ),
        seed=17,
    ),
    Mutant(
        "silence-longer-than-the-bound",
        (Edit(PROOFS, "min(HEARTBEAT_SILENCE, max_staleness / 2)", "HEARTBEAT_SILENCE"),),
        seed=48,
    ),
    # New ones.
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
    Mutant("branches-not-told-apart", (ANY_BRANCH,), seed=4),
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
        "snapshot-before-the-store-can-take-it",
        (
            Edit(
                SYNC,
                "        if not await self._store.claim(AFTER_LOAD):",
                "        async with self._user_service.snapshot() as early:\n"
                "            _ = [entity async for entity in early.entities]\n"
                "        if not await self._store.claim(AFTER_LOAD):",
            ),
        ),
        seed=4,
    ),
    Mutant(
        "loads-not-spaced",
        (Edit(SYNC, "if now < self._load_due:", "if False:"),),
    ),
    Mutant("waiters-never-woken", (Edit(WAITING, "        self._moved.set()\n", ""),), seed=1),
    Mutant(
        "audit-age-ignored",
        (Edit(DECISION, "if audit_age > max_audit_age:", "if False:"),),
        seed=23,
    ),
    Mutant(
        "staleness-not-enforced",
        (Edit(DECISION, "if staleness is None or staleness > max_staleness:", "if staleness is None:"),),
        seed=0,
    ),
    Mutant(
        "wanted-revision-ignored",
        (Edit(DECISION, "    if asked is not None and not _includes(position, asked):", "    if False:"),),
        seed=0,
    ),
    Mutant(
        "drift-repaired-at-another-revision",
        (
            Edit(DRIFT, "entity.revision <= position.revision or entity.state is None", "True"),
            Edit(
                DRIFT, "reading is None or reading.copy.position.revision > as_of.revision", "reading is None"
            ),
            Edit(NEAR, NEWER, "if False:"),
        ),
    ),
    Mutant("under-way-not-told", (Edit(REPLICA, "            self._changed(changed)\n", ""),), seed=0),
    Mutant(
        "rules-not-reconsidered", (Edit(PIPELINE, "if decision.policy != self.policy.digest:", "if False:"),)
    ),
    Mutant(
        "waits-for-old-rules",
        (Edit(PIPELINE, "while case.policy is not self.policy:", "while False:"),),
        seed=9,
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
    # Of several processes.
    Mutant(
        "worker-left-where-it-stands",
        (Edit(FEED, "near.history.after(self.at)", "near.history.after(self.at) or []"),),
        seed=7,
    ),
    # Of the byte path.
    Mutant("refused-goes-on", (Edit(EXCHANGE, "if decision.status:", "if decision.status == 401:"),), seed=1),
    Mutant(
        "revoked-upload-goes-on",
        (Edit(EXCHANGE, "elif self._state is not AWAITING:", "elif self._state is OVER:"),),
        seed=1,
    ),
    Mutant(
        "half-a-request-ends-in-order",
        (Edit(UPSTREAM, "if user is not None and not self._tunnel and not self._answered:", "if False:"),),
        seed=1,
    ),
    Mutant(
        "anything-sent-once-more",
        (
            Edit(
                EXCHANGE, "if self._retried or not framing.repeatable(", "if self._retried or False and bool("
            ),
        ),
        seed=1,
    ),
    Mutant(
        "broken-answer-ends-in-order",
        (Edit(EXCHANGE, "if broken or state is SWITCHED:", "if state is SWITCHED:"),),
        seed=1,
    ),
    Mutant(
        "connection-kept-in-the-middle",
        (Edit(POOL, "if not whole or response", "if response"),),
        seed=1,
    ),
)


def table() -> str:
    """What docs/simulation.md shows of them."""
    rows = (
        f"| `{mutant.name}` | {'not yet' if mutant.seed is None else mutant.seed} |" for mutant in MUTANTS
    )
    return "\n".join(["| broken rule | first seed |", "|---|---|", *rows])


def main(names: Sequence[str]) -> int:
    """Try all mutants, or tell the shrunk story of those of these names. How many were not caught."""
    survivors = 0
    for mutant in MUTANTS:
        if not names or mutant.name in names:
            print(f"{mutant.name:<40}", end="", flush=True)
            verdict = judge(mutant, mutant.seed, 1) if names and mutant.seed is not None else judge(mutant)
            print(verdict, flush=True)
            caught = verdict.startswith("seed ")
            survivors += not caught
            if names and caught:
                seed = verdict.split(":")[0].removeprefix("seed ")
                print(story(mutant, seed), end="", flush=True)
                print("with the rule in force:", _simulate(ROOT, "--seed", seed).stdout, flush=True)
    return survivors


def judge(mutant: Mutant, first: int = 0, seeds: int = SEEDS) -> str:
    """The first seed that catches it, and how."""
    with TemporaryDirectory(prefix="mutant-") as directory:
        try:
            _make(mutant, Path(directory))
        except LookupError as error:
            return f"NOT FOUND: {error}"
        done = _simulate(Path(directory), "--until-caught", "--first", str(first), "--seeds", str(seeds))
    lines = done.stdout.splitlines()
    if done.returncode == 1 and lines:
        return lines[-1]
    return "SURVIVED" if done.returncode == 0 else f"NOT JUDGED: {done.returncode} {done.stderr[-2000:]}"


def story(mutant: Mutant, seed: str) -> str:
    """How that seed catches it, with as few faults as possible."""
    with TemporaryDirectory(prefix="mutant-") as directory:
        _make(mutant, Path(directory))
        return _simulate(Path(directory), "--seed", seed).stdout


def _make(mutant: Mutant, tree: Path) -> None:
    shutil.copytree(ROOT / "authz_sidecar", tree / "authz_sidecar", ignore=shutil.ignore_patterns("*.pyc"))
    for edit in mutant.edits:
        path = tree / edit.path
        code = path.read_text()
        if code.count(edit.before) != 1:
            raise LookupError(edit.before)
        path.write_text(code.replace(edit.before, edit.after))


def _simulate(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-P", "-m", "lab.simulation", *arguments]
    environment = {**os.environ, "PYTHONPATH": f"{tree}:{ROOT}", "PYTHONHASHSEED": "0"}
    return subprocess.run(argv, cwd=tree, env=environment, capture_output=True, text=True, check=False)
