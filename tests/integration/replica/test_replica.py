"""The replica through everything that can happen to what it depends on: right, or it refuses."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

import aiormq
import pytest
from redis.asyncio import Redis as Client

from authz_sidecar.core.events import Phase, SilentObserver
from authz_sidecar.core.types import (
    Code,
    EntityKey,
    Identity,
    Pending,
    Position,
    Question,
    Requirement,
    RevisionToken,
    Verdict,
)
from authz_sidecar.replica.authorizer import CachedAuthorizer
from authz_sidecar.replica.drift import DriftCheck
from authz_sidecar.replica.feed import Feed
from authz_sidecar.replica.memory_store import MemoryStore
from authz_sidecar.replica.redis_store import RedisStore
from authz_sidecar.replica.store import Store
from authz_sidecar.replica.subscription import EXCHANGE
from authz_sidecar.replica.sync import Replica
from authz_sidecar.settings import ReplicaSettings
from stack.servers import RabbitMQ, Redis

DEADLINE = 30.0
MAX_STALENESS = 30.0
ADD, CHANGE = "students.add_student", "students.change_student"
SETTINGS = ReplicaSettings(
    redis_url=None,
    redis_prefix="unused",
    amqp_url=None,
    feed_interval=0.05,
    max_staleness=MAX_STALENESS,
    near_cache_size=1_000,
)


class Observer(SilentObserver):
    """Counts what happened."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()

    def applied(self, position: Position, propagation: float | None) -> None:
        self.seen["applied"] += 1

    def duplicate(self) -> None:
        self.seen["duplicate"] += 1

    def gap(self) -> None:
        self.seen["gap"] += 1

    def resync(self, cause: str) -> None:
        self.seen[f"resync {cause}"] += 1

    def rejected(self, reason: str) -> None:
        self.seen["rejected"] += 1

    def foreign_epoch(self) -> None:
        self.seen["foreign_epoch"] += 1

    def drift(self, entities: int) -> None:
        self.seen["drift"] += entities


@dataclass
class Sidecar:
    """One process's replica with what decides from it."""

    replica: Replica
    authorizer: CachedAuthorizer
    observer: Observer
    service: Any
    clock: Any

    @property
    def phase(self) -> Phase:
        return self.replica.status(self.clock.monotonic()).phase

    @property
    def at_head(self) -> bool:
        position = self.replica.position
        return position is not None and (position.epoch, position.revision) == (
            self.service.epoch,
            self.service.head,
        )

    @property
    def store_at_head(self) -> bool:
        store = self.replica.status(self.clock.monotonic()).store
        return store is not None and (store.epoch, store.revision) == (self.service.epoch, self.service.head)

    async def decide(
        self,
        sub: str,
        permission: str,
        header: RevisionToken | None = None,
        claim: RevisionToken | None = None,
    ) -> Verdict:
        """As the pipeline does it."""
        identity = Identity(sub, "key", 9e9, None, None, claim)
        question = Question(identity, Requirement("any", (permission,)), header)
        for _ in range(8):
            found: Verdict | Pending = self.authorizer.authorize(question, self.clock.monotonic())
            if isinstance(found, Verdict):
                return found
            verdict = await found()
            if verdict is not None:
                return verdict
        return Verdict(Code.GRANTS_UNKNOWN)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():  # noqa: ASYNC110 (conditions of many kinds, some in other programs)
            await asyncio.sleep(0.005)


async def until_decided(sidecar: Sidecar, sub: str, permission: str, code: Code) -> None:
    async with asyncio.timeout(DEADLINE):
        while (await sidecar.decide(sub, permission)).code is not code:  # noqa: ASYNC110 (as above)
            await asyncio.sleep(0.005)


Start = Callable[..., Awaitable[Sidecar]]


@pytest.fixture
async def start(service: Any, feed: Feed, clock: Any) -> AsyncIterator[Start]:
    """Starts sidecars that follow the scripted service."""
    async with AsyncExitStack() as stack:

        async def begin(store: Store, settings: ReplicaSettings = SETTINGS, *, live: bool = True) -> Sidecar:
            observer = Observer()
            replica = Replica(settings, feed, store, clock, observer)
            await replica.start()
            stack.push_async_callback(store.close)
            stack.push_async_callback(replica.stop)
            authorizer = CachedAuthorizer(replica, feed, settings.max_staleness)
            sidecar = Sidecar(replica, authorizer, observer, service, clock)
            if live:
                await until(lambda: sidecar.phase is Phase.LIVE and sidecar.store_at_head)
            return sidecar

        yield begin


@pytest.fixture
def redis_store(redis_server: Redis) -> Callable[[], RedisStore]:
    prefix = uuid4().hex
    return lambda: RedisStore(redis_server.url, prefix)


@pytest.fixture(params=["memory", "redis"])
def store(request: pytest.FixtureRequest) -> Store:
    return MemoryStore() if request.param == "memory" else request.getfixturevalue("redis_store")()


@pytest.fixture
async def client(redis_server: Redis) -> AsyncIterator[Client]:
    made = Client.from_url(redis_server.url)
    yield made
    await made.aclose()


class TestStart:
    async def test_from_a_snapshot(self, start: Start, store: Store, service: Any) -> None:
        sidecar = await start(store)
        assert (await sidecar.decide("alice", CHANGE)).code is Code.GRANTED
        assert (await sidecar.decide("bob", ADD)).code is Code.GRANTED
        assert (await sidecar.decide("bob", CHANGE)).code is Code.PERMISSION_DENIED
        assert service.calls["snapshot"] == 1
        assert service.calls["subjects"] == 0

    async def test_before_the_first_revision(self, start: Start, store: Store, service: Any) -> None:
        service.restore(0)
        sidecar = await start(store)
        assert (await sidecar.decide("alice", CHANGE)).code is Code.SUBJECT_UNKNOWN
        service.user("alice", CHANGE)
        await until_decided(sidecar, "alice", CHANGE, Code.GRANTED)

    async def test_the_service_is_waited_for(self, start: Start, store: Store, service: Any) -> None:
        service.down = True
        sidecar = await start(store, live=False)
        await until(lambda: service.calls["snapshot"] >= 2)
        assert (await sidecar.decide("alice", CHANGE)).code is Code.NOT_READY
        service.down = False
        await until_decided(sidecar, "alice", CHANGE, Code.GRANTED)

    async def test_warm_from_what_another_left(
        self, start: Start, redis_store: Callable[[], RedisStore], service: Any
    ) -> None:
        first = await start(redis_store())
        await first.replica.stop()
        service.user("alice")
        sidecar = await start(redis_store())
        assert (await sidecar.decide("alice", CHANGE)).code is Code.PERMISSION_DENIED
        assert service.calls["snapshot"] == 1

    async def test_not_from_what_the_log_no_longer_reaches(
        self, start: Start, redis_store: Callable[[], RedisStore], service: Any
    ) -> None:
        first = await start(redis_store())
        await first.replica.stop()
        service.user("alice")
        service.truncate()
        sidecar = await start(redis_store())
        assert (await sidecar.decide("alice", CHANGE)).code is Code.PERMISSION_DENIED
        assert service.calls["snapshot"] == 2

    async def test_a_truncated_snapshot_is_rejected(self, start: Start, store: Store, service: Any) -> None:
        service.broken_snapshots = 2
        sidecar = await start(store)
        assert sidecar.observer.seen["rejected"] == 2
        assert (await sidecar.decide("bob", ADD)).code is Code.GRANTED

    async def test_without_the_store(self, start: Start) -> None:
        """What is missing is then asked for, one subject at a time."""
        sidecar = await start(RedisStore("redis://127.0.0.1:1/0", "x"), live=False)
        await until(lambda: sidecar.phase is Phase.LIVE)
        assert (await sidecar.decide("bob", ADD)).code is Code.GRANTED
        assert (await sidecar.decide("nobody", ADD)).code is Code.SUBJECT_UNKNOWN


class TestHistory:
    async def test_changes_are_followed(self, start: Start, store: Store, service: Any) -> None:
        sidecar = await start(store)
        assert (await sidecar.decide("bob", ADD)).code is Code.GRANTED
        service.group("staff")
        await until_decided(sidecar, "bob", ADD, Code.PERMISSION_DENIED)
        service.user("bob", active=False)
        await until_decided(sidecar, "bob", ADD, Code.SUBJECT_INACTIVE)
        service.commit(("user", "bob", None))
        await until_decided(sidecar, "bob", ADD, Code.SUBJECT_UNKNOWN)
        await until(lambda: sidecar.store_at_head)
        assert service.calls["snapshot"] == 1

    async def test_a_log_that_was_truncated(self, start: Start, store: Store, service: Any) -> None:
        sidecar = await start(store)
        await sidecar.decide("alice", CHANGE)
        service.down = True
        service.user("alice")
        service.truncate()
        service.down = False
        await until_decided(sidecar, "alice", CHANGE, Code.PERMISSION_DENIED)
        await until(lambda: sidecar.store_at_head and sidecar.phase is Phase.LIVE)
        assert sidecar.observer.seen["resync history_gone"] == 1

    async def test_a_new_epoch(self, start: Start, store: Store, service: Any) -> None:
        sidecar = await start(store)
        await sidecar.decide("alice", CHANGE)
        service.restore(1)
        service.new_epoch()
        service.user("bob", CHANGE)
        await until_decided(sidecar, "alice", CHANGE, Code.SUBJECT_UNKNOWN)
        assert (await sidecar.decide("bob", CHANGE)).code is Code.GRANTED
        await until(lambda: sidecar.store_at_head and sidecar.phase is Phase.LIVE)

    async def test_a_restore_that_forgot_the_epoch(self, start: Start, store: Store, service: Any) -> None:
        sidecar = await start(store)
        await sidecar.decide("alice", CHANGE)
        service.restore(1)
        service.user("bob", CHANGE)
        service.user("carol", CHANGE)  # as many revisions as before, with other contents
        await until_decided(sidecar, "alice", CHANGE, Code.SUBJECT_UNKNOWN)
        assert (await sidecar.decide("carol", CHANGE)).code is Code.GRANTED
        await until(lambda: sidecar.store_at_head and sidecar.phase is Phase.LIVE)

    async def test_another_process_shows_that_history_has_split(
        self, start: Start, redis_store: Callable[[], RedisStore], service: Any
    ) -> None:
        """Entities of its copy must not mix with ours, though they are no newer than our position."""
        first = await start(redis_store(), replace(SETTINGS, feed_interval=1_000.0))
        await until(lambda: service.calls["changes"])
        service.restore(1)
        service.user("bob", CHANGE)
        service.user("carol", CHANGE)
        service.user("alice")
        await start(redis_store())
        reading = await first.replica.keeper.read([EntityKey("user", "bob")])
        assert reading is None or first.at_head
        await until(lambda: first.at_head and first.store_at_head)
        assert (await first.decide("bob", CHANGE)).code is Code.GRANTED
        assert (await first.decide("alice", CHANGE)).code is Code.PERMISSION_DENIED

    async def test_two_share_a_store(
        self, start: Start, redis_store: Callable[[], RedisStore], service: Any
    ) -> None:
        sidecars = [await start(redis_store()), await start(redis_store())]
        for number in range(200):
            service.group("staff", *([ADD] if number % 2 else []))
            if number % 50 == 0:
                await until(lambda: sidecars[0].at_head)
        await until(lambda: all(each.at_head and each.store_at_head for each in sidecars))
        for each in sidecars:
            assert (await each.decide("bob", ADD)).code is Code.GRANTED
        service.restore(2)
        service.new_epoch()
        service.user("bob", CHANGE)
        await until(lambda: all(each.at_head and each.store_at_head for each in sidecars))
        for each in sidecars:
            assert (await each.decide("bob", ADD)).code is Code.PERMISSION_DENIED
            assert (await each.decide("bob", CHANGE)).code is Code.GRANTED


class TestRedisTrouble:
    @pytest.fixture
    async def sidecar(self, start: Start, redis_store: Callable[[], RedisStore]) -> Sidecar:
        sidecar = await start(redis_store())
        assert (await sidecar.decide("alice", CHANGE)).code is Code.GRANTED
        return sidecar

    async def test_flushed(self, sidecar: Sidecar, client: Client, service: Any) -> None:
        await client.flushall()
        assert (await sidecar.decide("alice", CHANGE)).code is Code.GRANTED
        assert (await sidecar.decide("bob", ADD)).code is Code.GRANTED
        assert service.calls["subjects"] >= 1
        await until(lambda: sidecar.observer.seen["resync store_empty"] and sidecar.store_at_head)

    async def test_killed(self, sidecar: Sidecar, redis_server: Redis, service: Any) -> None:
        redis_server.kill()
        try:
            service.user("alice")
            await until_decided(sidecar, "alice", CHANGE, Code.PERMISSION_DENIED)
            assert (await sidecar.decide("bob", ADD)).code is Code.GRANTED
        finally:
            await asyncio.to_thread(redis_server.start)
        await until(lambda: sidecar.store_at_head)

    async def test_frozen(self, sidecar: Sidecar, redis_server: Redis, service: Any) -> None:
        redis_server.suspend()
        try:
            service.user("alice")
            await until_decided(sidecar, "alice", CHANGE, Code.PERMISSION_DENIED)
            assert (await sidecar.decide("bob", ADD)).code is Code.GRANTED
        finally:
            redis_server.resume()
        await until(lambda: sidecar.store_at_head)

    async def test_failed_over_to_a_copy_that_lags(
        self, sidecar: Sidecar, client: Client, service: Any
    ) -> None:
        (key,) = await client.keys("*:gen:*")
        lagging = await client.dump(key)
        service.group("staff")
        await until(lambda: sidecar.store_at_head)
        await client.restore(key, 0, lagging, replace=True)
        assert (await sidecar.decide("bob", ADD)).code is Code.PERMISSION_DENIED
        service.user("carol")
        await until(lambda: sidecar.store_at_head)
        assert b"@revision" in await client.hkeys(key)
        assert int(await client.hget(key, "@revision")) == service.head

    async def test_emptied_but_for_its_position(self, sidecar: Sidecar, client: Client, service: Any) -> None:
        """What no eviction does: absence is confirmed with the User service before it is believed."""
        (key,) = await client.keys("*:gen:*")
        await client.hdel(key, "u:bob", "g:staff")
        assert (await sidecar.decide("bob", ADD)).code is Code.GRANTED
        assert service.calls["subjects"] == 1

    async def test_with_the_service_down_too(
        self, sidecar: Sidecar, redis_server: Redis, service: Any
    ) -> None:
        """What is known is decided, what is not is unknown: never denied."""
        redis_server.suspend()
        service.down = True
        try:
            assert (await sidecar.decide("alice", CHANGE)).code is Code.GRANTED
            assert (await sidecar.decide("bob", ADD)).code is Code.GRANTS_UNKNOWN
        finally:
            redis_server.resume()

    @pytest.fixture(autouse=True)
    async def _alone(self, client: Client) -> None:
        await client.flushall()


class TestAbsence:
    async def test_it_is_confirmed_once_and_remembered_until_it_ends(
        self, start: Start, store: Store, service: Any
    ) -> None:
        sidecar = await start(store)
        for _ in range(5):
            assert (await sidecar.decide("carol", ADD)).code is Code.SUBJECT_UNKNOWN
        assert service.calls["subjects"] == 1
        service.user("carol", ADD)
        await until_decided(sidecar, "carol", ADD, Code.GRANTED)
        assert service.calls["subjects"] == 1

    async def test_many_who_ask_are_answered_by_one_call(
        self, start: Start, store: Store, service: Any
    ) -> None:
        sidecar = await start(store)
        verdicts = await asyncio.gather(*(sidecar.decide("carol", ADD) for _ in range(100)))
        assert {verdict.code for verdict in verdicts} == {Code.SUBJECT_UNKNOWN}
        assert service.calls["subjects"] == 1

    async def test_a_group_that_does_not_exist_grants_nothing(
        self, start: Start, store: Store, service: Any
    ) -> None:
        service.user("carol", groups=("ghosts", "staff"))
        sidecar = await start(store)
        assert (await sidecar.decide("carol", CHANGE)).code is Code.PERMISSION_DENIED
        assert (await sidecar.decide("carol", ADD)).code is Code.GRANTED
        assert service.calls["subjects"] == 1


class TestStaleness:
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
        await until_decided(sidecar, "alice", CHANGE, Code.GRANTED)
        assert sidecar.phase is Phase.LIVE


class TestConsistencyTokens:
    async def test_a_write_is_seen_by_whoever_names_its_revision(
        self, start: Start, store: Store, service: Any
    ) -> None:
        slow = replace(SETTINGS, feed_interval=1_000.0)
        sidecar = await start(store, slow)
        for number in range(20):
            service.user("alice", *([CHANGE] if number % 2 else []))
            token = RevisionToken(service.epoch[:8], service.head)
            expected = Code.GRANTED if number % 2 else Code.PERMISSION_DENIED
            where = {"header": token} if number % 3 else {"claim": token}
            assert (await sidecar.decide("alice", CHANGE, **where)).code is expected

    @pytest.mark.parametrize(
        ("epoch8", "ahead", "where", "code"),
        [
            (None, 1, "header", Code.REVISION_BEYOND_HEAD),
            (None, 1, "claim", Code.TOKEN_EPOCH),
            ("deadbeef", 0, "header", Code.EPOCH_MISMATCH),
            ("deadbeef", 0, "claim", Code.TOKEN_EPOCH),
        ],
    )
    async def test_what_does_not_exist(
        self, start: Start, store: Store, service: Any, epoch8: str, ahead: int, where: str, code: Code
    ) -> None:
        sidecar = await start(store)
        token = RevisionToken(epoch8 or service.epoch[:8], service.head + ahead)
        assert (await sidecar.decide("alice", CHANGE, **{where: token})).code is code

    async def test_a_new_epoch_is_found_by_the_first_who_names_it(
        self, start: Start, store: Store, service: Any
    ) -> None:
        sidecar = await start(store, replace(SETTINGS, feed_interval=1_000.0))
        service.new_epoch()
        service.user("alice")
        token = RevisionToken(service.epoch[:8], service.head)
        assert (await sidecar.decide("alice", CHANGE, claim=token)).code is Code.PERMISSION_DENIED

    async def test_it_cannot_be_confirmed(self, start: Start, store: Store, service: Any) -> None:
        sidecar = await start(store, replace(SETTINGS, feed_interval=1_000.0))
        service.down = True
        token = RevisionToken(service.epoch[:8], service.head + 1)
        assert (await sidecar.decide("alice", CHANGE, header=token)).code is Code.BEHIND

    async def test_many_tokens_cost_few_calls(self, start: Start, store: Store, service: Any) -> None:
        sidecar = await start(store, replace(SETTINGS, feed_interval=1_000.0))
        before = service.calls["changes"]
        tokens = [RevisionToken(f"{number:08x}", number) for number in range(100, 600)]
        verdicts = await asyncio.gather(*(sidecar.decide("alice", CHANGE, header=token) for token in tokens))
        assert {verdict.code for verdict in verdicts} == {Code.EPOCH_MISMATCH}
        assert service.calls["changes"] - before <= 3


class TestDrift:
    async def test_what_differs_is_repaired(
        self, start: Start, redis_store: Callable[[], RedisStore], feed: Feed, client: Client
    ) -> None:
        await client.flushall()
        store = redis_store()
        sidecar = await start(store)
        await sidecar.decide("alice", CHANGE)
        (key,) = await client.keys("*:gen:*")
        genuine = await client.hgetall(key)
        await client.hset(key, "u:alice", genuine[b"u:alice"].replace(b'"active":true', b'"active":false'))
        await client.hset(key, "u:mallory", genuine[b"u:alice"])
        await client.hdel(key, "g:staff")
        replica = sidecar.replica
        check = DriftCheck(store, feed, replica.keeper, replica.near, sidecar.observer)
        assert await check.check() == 3
        assert sidecar.observer.seen["drift"] == 3
        repaired = await client.hgetall(key)
        assert repaired.pop(b"u:mallory").endswith(b" null")
        assert repaired == genuine
        assert await check.check() == 0

    async def test_nothing_is_repaired_in_a_healthy_store(
        self, start: Start, store: Store, feed: Feed, service: Any
    ) -> None:
        sidecar = await start(store)
        service.commit(("user", "bob", None))
        service.user("carol", CHANGE)
        await until(lambda: sidecar.store_at_head)
        replica = sidecar.replica
        assert await DriftCheck(store, feed, replica.keeper, replica.near, sidecar.observer).check() == 0


class TestBroker:
    """Changes come from RabbitMQ; the feed is asked only for what it does not bring."""

    @pytest.fixture
    async def publish(self, rabbitmq: RabbitMQ) -> AsyncIterator[Callable[..., Awaitable[None]]]:
        connection = await aiormq.connect(rabbitmq.url)
        channel = await connection.channel()
        await channel.exchange_declare(EXCHANGE, exchange_type="fanout", durable=True)

        async def send(*messages: dict | bytes) -> None:
            for message in messages:
                body = message if isinstance(message, bytes) else json.dumps(message).encode()
                await channel.basic_publish(body, exchange=EXCHANGE)

        yield send
        await connection.close()

    @pytest.fixture
    async def sidecar(self, start: Start, rabbitmq: RabbitMQ, publish: object, service: Any) -> Sidecar:
        quiet = replace(SETTINGS, amqp_url=rabbitmq.url, feed_interval=1_000.0)
        sidecar = await start(MemoryStore(), quiet)
        await until(lambda: sidecar.replica.status(0.0).dependencies.get("broker"))
        asked = service.calls["changes"]
        await until(lambda: service.calls["changes"] > asked or sidecar.phase is Phase.LIVE)
        return sidecar

    async def test_changes_are_applied_as_they_come(
        self, sidecar: Sidecar, publish: Callable[..., Awaitable[None]], service: Any
    ) -> None:
        await sidecar.decide("alice", CHANGE)
        await publish(service.user("alice"), service.user("bob", CHANGE))
        await until(lambda: sidecar.at_head)
        assert (await sidecar.decide("alice", CHANGE)).code is Code.PERMISSION_DENIED
        assert sidecar.observer.seen["gap"] == 0

    async def test_duplicates_and_disorder(
        self, sidecar: Sidecar, publish: Callable[..., Awaitable[None]], service: Any
    ) -> None:
        changes = [service.user("alice", CHANGE, f"x.{number}") for number in range(30)]
        await publish(*changes[10:], *changes, *reversed(changes))
        await until(lambda: sidecar.at_head)
        assert (await sidecar.decide("alice", "x.29")).code is Code.GRANTED

    @pytest.mark.parametrize("what", ["lost", "garbage", "unknown version", "heartbeat ahead"])
    async def test_what_the_broker_does_not_bring_is_fetched(
        self, sidecar: Sidecar, publish: Callable[..., Awaitable[None]], service: Any, what: str
    ) -> None:
        lost = service.user("alice")
        if what == "lost":
            await publish(service.user("bob"))
        elif what == "garbage":
            await publish(b"\xffnonsense")
        elif what == "unknown version":
            await publish({**lost, "v": 2})
        else:
            beat = {"v": 1, "type": "heartbeat", "epoch": service.epoch, "revision": service.head}
            await publish({**beat, "at": "2026-11-22T09:00:00Z"})
        await until(lambda: sidecar.at_head)
        assert (await sidecar.decide("alice", CHANGE)).code is Code.PERMISSION_DENIED
        assert sidecar.observer.seen["gap" if what in ("lost", "heartbeat ahead") else "rejected"] == 1

    async def test_a_foreign_epoch_is_not_obeyed(
        self, sidecar: Sidecar, publish: Callable[..., Awaitable[None]], service: Any
    ) -> None:
        forged = {**service.user("alice"), "epoch": "99999999-0000-4000-8000-000000000000"}
        service.restore(service.head - 1)
        position = sidecar.replica.position
        await publish(forged, forged)
        await until(lambda: sidecar.observer.seen["foreign_epoch"] == 2 and service.calls["head"])
        assert (await sidecar.decide("alice", CHANGE)).code is Code.GRANTED
        assert sidecar.replica.position == position
