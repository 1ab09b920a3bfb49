"""What is taken over from a copy: into the near cache, into the store, and from either."""

from __future__ import annotations

from lab.simulation.mutants.mutant import Edit, Mutant

NEAR = "authz_sidecar/replica/near_cache.py"
REPLICA = "authz_sidecar/replica/replica.py"
SYNC = "authz_sidecar/replica/store_sync.py"
DRIFT = "authz_sidecar/replica/drift.py"
WAITING = "authz_sidecar/replica/waiting.py"
ADMITTED = "later = None if history is None else history.after(read_at)"
ADMITTED_FROM_ANYWHERE = "later = [] if history is None else history.after(read_at) or []"
NEWER = "if entity.revision > here.revision:"

MUTANTS = (
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
    Mutant("copy-ahead-taken-over", (Edit(NEAR, ADMITTED, ADMITTED_FROM_ANYWHERE),), seed=0),
    Mutant(
        "copy-beyond-the-head-waited-for",
        (
            Edit(WAITING, "if await self._is_beyond_head(read_at.revision):", "if False:"),
            Edit(
                SYNC,
                "in (self._trusted, self._confirmed) and not self._doubted",
                "in (self._trusted, self._confirmed)",
            ),
            Edit(SYNC, "if self._near.history is not history:", "if False:"),
        ),
        seed=18,
    ),
    Mutant("waiters-never-woken", (Edit(WAITING, "        self._moved.set()\n", ""),), seed=6),
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
        "snapshot-before-the-store-can-take-it",
        (
            Edit(
                SYNC,
                "        if not await self._store.claim(AFTER_FAILED_LOAD):",
                "        async with self._user_service.snapshot() as early:\n"
                "            _ = [entity async for entity in early.entities]\n"
                "        if not await self._store.claim(AFTER_FAILED_LOAD):",
            ),
        ),
        seed=4,
    ),
    Mutant(
        "loads-not-spaced",
        (
            Edit(SYNC, "if now < self._load_due:", "if False:"),
            Edit(SYNC, "not await self._store.claim(AFTER_FAILED_LOAD)", "not await self._store.claim(0.1)"),
        ),
        seed=2,
    ),
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
        "drift-repaired-at-another-revision",
        (
            Edit(DRIFT, "entity.revision <= position.revision or entity.state is None", "True"),
            Edit(
                DRIFT, "reading is None or reading.copy.position.revision > as_of.revision", "reading is None"
            ),
            Edit(NEAR, NEWER, "if False:"),
        ),
        seed=106,
    ),
)
