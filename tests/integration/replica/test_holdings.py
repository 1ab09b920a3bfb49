"""What a store knows of groups, for whoever asks why: all of them, or said to be a part."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from authz_sidecar.core.entities import Entity, EntityKey, GroupState, Position, UserState
from authz_sidecar.core.errors import StoreUnavailable
from authz_sidecar.replica import holdings
from authz_sidecar.replica.holdings import ReplicaHoldings
from authz_sidecar.replica.memory_store import MemoryStore
from authz_sidecar.replica.near_cache import NearCache
from authz_sidecar.replica.store import Copy

HERE = Position("3f2a9c1b-5d44-4b0e-9c07-6a1f7f0e8d21", 42, None)
CHANGE = GroupState(frozenset({"students.change_student"}))
ENTITIES = [
    Entity(EntityKey("group", "3"), 7, CHANGE),
    Entity(EntityKey("group", "4"), 8, None),
    Entity(EntityKey("user", "1"), 9, UserState(True, False, frozenset(), frozenset({"3"}), 0)),
]


class Sick(MemoryStore):
    """Gives one part, then hangs or fails."""

    fails = True

    async def scan(self, generation: str) -> AsyncIterator[Sequence[Entity]]:
        yield ENTITIES
        if self.fails:
            raise StoreUnavailable("gone")
        await asyncio.Event().wait()


async def filled(store: MemoryStore) -> MemoryStore:
    generation = await store.stage()
    await store.fill(generation, ENTITIES)
    assert await store.switch(generation, HERE, None)
    assert await store.current() == Copy(generation, HERE)
    return store


async def test_all_groups_that_exist() -> None:
    found = await ReplicaHoldings(NearCache(10), await filled(MemoryStore())).groups()
    assert (dict(found.states), found.whole) == ({"3": CHANGE}, True)


async def test_a_store_that_holds_nothing_knows_nothing() -> None:
    found = await ReplicaHoldings(NearCache(10), MemoryStore()).groups()
    assert (dict(found.states), found.whole) == ({}, False)


@pytest.mark.parametrize("fails", [True, False])
async def test_what_was_found_before_the_store_failed_or_time_ran_out(
    fails: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holdings, "SEARCH_SECONDS", 0.05)
    store = await filled(Sick())
    store.fails = fails  # type: ignore[attr-defined]  # it is a Sick
    found = await ReplicaHoldings(NearCache(10), store).groups()
    assert (dict(found.states), found.whole) == ({"3": CHANGE}, False)
