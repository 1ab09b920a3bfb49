"""How a replica starts, follows history, and notices that it cannot."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from authz_sidecar.core.entities import Change, Entity, EntityKey, Position
from authz_sidecar.core.phases import Phase
from authz_sidecar.core.verdicts import Code
from authz_sidecar.replica import store_sync
from authz_sidecar.replica.redis_store import RedisStore
from authz_sidecar.replica.store import Copy, Outcome, Store

ADD, CHANGE = "students.add_student", "students.change_student"
MAX_STALENESS = 30.0
LOAD = 2
"""Snapshots begun for a cold start: of one only the head is read, to stand there at once; one is loaded."""
Start = Callable[..., Awaitable[Any]]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that was loaded a moment ago is loaded again without a wait."""
    monkeypatch.setattr(store_sync, "AFTER_LOAD", 0.1)


class TestStart:
    async def test_from_a_snapshot(self, start: Start, store: Store, service: Any) -> None:
        sidecar = await start(store)
        assert (await sidecar.decide("alice", CHANGE)).code is Code.GRANTED
        assert (await sidecar.decide("bob", ADD)).code is Code.GRANTED
        assert (await sidecar.decide("bob", CHANGE)).code is Code.PERMISSION_DENIED
        assert service.calls["snapshot"] == LOAD
        assert service.calls["subjects"] == 0

    async def test_before_the_first_revision(self, start: Start, store: Store, service: Any) -> None:
        service.restore(0)
        sidecar = await start(store)
        assert (await sidecar.decide("alice", CHANGE)).code is Code.SUBJECT_UNKNOWN
        service.user("alice", CHANGE)
        await sidecar.until_decided("alice", CHANGE, Code.GRANTED)

    async def test_the_service_is_waited_for(self, start: Start, store: Store, service: Any) -> None:
        service.down = True
        sidecar = await start(store, live=False)
        await sidecar.until(lambda: service.calls["snapshot"] >= 2)
        assert (await sidecar.decide("alice", CHANGE)).code is Code.NOT_READY
        service.down = False
        await sidecar.until_decided("alice", CHANGE, Code.GRANTED)

    async def test_warm_from_what_another_left(
        self, start: Start, redis_store: Callable[[], RedisStore], service: Any
    ) -> None:
        first = await start(redis_store())
        await first.replica.stop()
        service.user("alice")
        sidecar = await start(redis_store())
        assert (await sidecar.decide("alice", CHANGE)).code is Code.PERMISSION_DENIED
        assert service.calls["snapshot"] == LOAD

    async def test_not_from_what_the_log_no_longer_reaches(
        self, start: Start, redis_store: Callable[[], RedisStore], service: Any
    ) -> None:
        first = await start(redis_store())
        await first.replica.stop()
        service.user("alice")
        service.truncate()
        sidecar = await start(redis_store())
        assert (await sidecar.decide("alice", CHANGE)).code is Code.PERMISSION_DENIED
        assert service.calls["snapshot"] == 2 * LOAD

    async def test_a_truncated_snapshot_is_rejected(
        self, start: Start, store: Store, service: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(store_sync, "AFTER_FAILED_LOAD", 0.01)
        service.broken_snapshots = 3
        sidecar = await start(store)
        assert sidecar.observer.seen["rejected"] == 2
        assert (await sidecar.decide("bob", ADD)).code is Code.GRANTED

    async def test_without_the_store(self, start: Start) -> None:
        """What is missing is then asked for, one subject at a time."""
        sidecar = await start(RedisStore("redis://127.0.0.1:1/0", "x"), live=False)
        await sidecar.until(lambda: sidecar.phase is Phase.LIVE)
        assert (await sidecar.decide("bob", ADD)).code is Code.GRANTED
        assert (await sidecar.decide("nobody", ADD)).code is Code.SUBJECT_UNKNOWN


class TestHistory:
    async def test_changes_are_followed(self, start: Start, store: Store, service: Any) -> None:
        sidecar = await start(store)
        assert (await sidecar.decide("bob", ADD)).code is Code.GRANTED
        service.group("staff")
        await sidecar.until_decided("bob", ADD, Code.PERMISSION_DENIED)
        service.user("bob", active=False)
        await sidecar.until_decided("bob", ADD, Code.SUBJECT_INACTIVE)
        service.commit(("user", "bob", None))
        await sidecar.until_decided("bob", ADD, Code.SUBJECT_UNKNOWN)
        await sidecar.until(lambda: sidecar.store_at_head)
        assert service.calls["snapshot"] == LOAD

    async def test_a_log_that_was_truncated(self, start: Start, store: Store, service: Any) -> None:
        sidecar = await start(store)
        await sidecar.decide("alice", CHANGE)
        service.down = True
        service.user("alice")
        service.truncate()
        service.down = False
        await sidecar.until_decided("alice", CHANGE, Code.PERMISSION_DENIED)
        await sidecar.until(lambda: sidecar.store_at_head and sidecar.phase is Phase.LIVE)
        assert sidecar.observer.seen["resync history_gone"] == 1

    async def test_a_new_epoch(self, start: Start, store: Store, service: Any) -> None:
        sidecar = await start(store)
        await sidecar.decide("alice", CHANGE)
        service.restore(1)
        service.new_epoch()
        service.user("bob", CHANGE)
        await sidecar.until_decided("alice", CHANGE, Code.SUBJECT_UNKNOWN)
        assert (await sidecar.decide("bob", CHANGE)).code is Code.GRANTED
        await sidecar.until(lambda: sidecar.store_at_head and sidecar.phase is Phase.LIVE)

    async def test_a_restore_that_forgot_the_epoch(self, start: Start, store: Store, service: Any) -> None:
        sidecar = await start(store)
        await sidecar.decide("alice", CHANGE)
        service.restore(1)
        service.user("bob", CHANGE)
        service.user("carol", CHANGE)  # as many revisions as before, with other contents
        await sidecar.until_decided("alice", CHANGE, Code.SUBJECT_UNKNOWN)
        assert (await sidecar.decide("carol", CHANGE)).code is Code.GRANTED
        await sidecar.until(lambda: sidecar.store_at_head and sidecar.phase is Phase.LIVE)

    async def test_a_copy_that_was_led_beyond_the_head_is_replaced(
        self, start: Start, store: Store, service: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """By a process that had not heard of a restored backup; and nothing more is written."""
        monkeypatch.setattr(store_sync, "CHECK_INTERVAL", 0.05)
        sidecar = await start(store)
        copy, here = await store.current(), sidecar.replica.near.position
        assert copy is not None
        assert here == copy.position
        lost = Position(here.epoch, here.revision + 1, "2026-11-22T09:00:59.000000Z")
        revoked = Entity(EntityKey("group", "staff"), lost.revision, None)
        change = Change(lost, None, (revoked,), here.at)
        assert await store.apply(copy.generation, here, change) is Outcome.APPLIED
        assert (await sidecar.decide("bob", ADD)).code is Code.GRANTED
        found: Copy | None = copy
        while found is None or found.generation == copy.generation:
            await asyncio.sleep(0.005)
            found = await store.current()
        assert found.position == here

    async def test_another_process_shows_that_history_has_split(
        self, start: Start, redis_store: Callable[[], RedisStore], service: Any
    ) -> None:
        """Entities of its copy must not mix with ours, though they are no newer than our position."""
        first = await start(redis_store(), feed_interval=1_000.0)
        await first.until(lambda: service.calls["changes"])
        service.restore(1)
        service.user("bob", CHANGE)
        service.user("carol", CHANGE)
        service.user("alice")
        await start(redis_store())
        reading = await first.replica.store_sync.read([EntityKey("user", "bob")])
        assert reading is None or first.at_head or not first.replica.near.holds(reading.copy.position)
        await first.until(lambda: first.at_head and first.store_at_head)
        assert (await first.decide("bob", CHANGE)).code is Code.GRANTED
        assert (await first.decide("alice", CHANGE)).code is Code.PERMISSION_DENIED

    async def test_two_share_a_store(
        self, start: Start, redis_store: Callable[[], RedisStore], service: Any
    ) -> None:
        sidecars = [await start(redis_store()), await start(redis_store())]
        for number in range(200):
            service.group("staff", *([ADD] if number % 2 else []))
            if number % 50 == 0:
                await sidecars[0].until(lambda: sidecars[0].at_head)
        await sidecars[0].until(lambda: all(each.at_head and each.store_at_head for each in sidecars))
        for each in sidecars:
            assert (await each.decide("bob", ADD)).code is Code.GRANTED
        service.restore(2)
        service.new_epoch()
        service.user("bob", CHANGE)
        await sidecars[0].until(lambda: all(each.at_head and each.store_at_head for each in sidecars))
        for each in sidecars:
            assert (await each.decide("bob", ADD)).code is Code.PERMISSION_DENIED
            assert (await each.decide("bob", CHANGE)).code is Code.GRANTED


class TestStaleness:
    async def test_going_stale_and_coming_back_are_told_with_the_cause(
        self, start: Start, store: Store, service: Any, clock: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("INFO", "authz_sidecar")
        sidecar = await start(store)
        service.down = True
        await sidecar.until(lambda: "user_service: down (User service at 127.0.0.1:" in caplog.text)
        clock.ahead += MAX_STALENESS + 1
        await sidecar.until(lambda: "stale: the last proof of freshness is 3" in caplog.text)
        (told,) = [record.getMessage() for record in caplog.records if "stale:" in record.getMessage()]
        assert "user_service: down (User service at 127.0.0.1:" in told
        service.down = False
        await sidecar.until(lambda: "fresh again" in caplog.text)

    async def test_without_proof_it_refuses_and_recovers(
        self, start: Start, store: Store, service: Any, clock: Any
    ) -> None:
        sidecar = await start(store)
        service.down = True
        assert (await sidecar.decide("alice", CHANGE)).code is Code.GRANTED
        clock.ahead += MAX_STALENESS + 1
        verdict = await sidecar.decide("alice", CHANGE)
        assert verdict.code is Code.STALE
        assert verdict.staleness is not None
        assert verdict.staleness > MAX_STALENESS
        assert sidecar.phase is Phase.STALE
        service.down = False
        await sidecar.until_decided("alice", CHANGE, Code.GRANTED)
        assert sidecar.phase is Phase.LIVE
