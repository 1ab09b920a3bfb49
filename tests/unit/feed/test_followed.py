"""What a worker does when what it decides by can no longer be proved."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from authz_sidecar.core.entities import Position
from authz_sidecar.core.proofs import NEVER, UNBOUNDED
from authz_sidecar.feed import messages
from authz_sidecar.feed.followed import MirroredReplica
from authz_sidecar.feed.mirror import Mirror
from lab import DEADLINE

HERE = Position("3f2a9c1b-0000-4000-8000-000000000001", 1, "2026-11-22T09:00:00.000000Z")
BOUND = 5.0


class Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now


@pytest.mark.parametrize("proven_at", [96.0, None], ids=["all", "losses"])
async def test_a_proof_that_comes_and_ends_unseen_is_noticed_to_have_ended(proven_at: float | None) -> None:
    """It was nearly as old as the bound when it arrived, as after a pull that took long."""
    clock, changes = Clock(), list[object]()
    replica = MirroredReplica(Mirror(100, BOUND, UNBOUNDED), cast(Any, None), clock)
    replica.take(messages.stand(HERE, None))
    watching = asyncio.create_task(replica.watch_staleness())
    await asyncio.sleep(0)  # it has seen that nothing is proved, and looks again in a while
    replica.watch(changes.append)
    replica.take(messages.proof(proven_at, NEVER, 96.0))
    assert replica.proofs.allows_for(clock.now) == 1.0
    clock.now += 2.0
    async with asyncio.timeout(DEADLINE):
        while None not in changes:  # noqa: ASYNC110 (it tells nobody else)
            await asyncio.sleep(0.01)
    watching.cancel()
