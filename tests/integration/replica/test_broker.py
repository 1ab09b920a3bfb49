"""Changes come from RabbitMQ; the feed is asked only for what it does not bring."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiormq
import pytest

from authz_sidecar.core.verdicts import Code
from authz_sidecar.replica import subscription
from authz_sidecar.replica.memory_store import MemoryStore
from authz_sidecar.replica.subscription import EXCHANGE
from lab import DEADLINE
from lab.stack.servers import RabbitMQ

ADD, CHANGE = "students.add_student", "students.change_student"
MAX_STALENESS = 30.0
Start = Callable[..., Awaitable[Any]]


async def remake(rabbitmq: RabbitMQ) -> None:
    """The exchange is deleted and made anew, without the bindings it had."""
    connection = await aiormq.connect(rabbitmq.url)
    channel = await connection.channel()
    await channel.exchange_delete(EXCHANGE)
    await channel.exchange_declare(EXCHANGE, exchange_type="fanout", durable=True)
    await connection.close()


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
    async def sidecar(self, start: Start, rabbitmq: RabbitMQ, publish: object, service: Any) -> Any:
        sidecar = await start(MemoryStore(), amqp_url=rabbitmq.url, feed_interval=1_000.0)
        await sidecar.until(lambda: sidecar.replica.status(0.0).dependencies.get("broker"))
        # Its arrival asks for a pull, which must not bring what a test means the broker to bring.
        assert await sidecar.replica.waiting.confirmed(sidecar.replica.now(), 10.0)
        return sidecar

    async def test_changes_are_applied_as_they_come(
        self, sidecar: Any, publish: Callable[..., Awaitable[None]], service: Any
    ) -> None:
        await sidecar.decide("alice", CHANGE)
        await publish(service.user("alice"), service.user("bob", CHANGE))
        await sidecar.until(lambda: sidecar.at_head)
        assert (await sidecar.decide("alice", CHANGE)).code is Code.PERMISSION_DENIED
        assert sidecar.observer.seen["gap"] == 0

    async def test_duplicates_and_disorder(
        self, sidecar: Any, publish: Callable[..., Awaitable[None]], service: Any
    ) -> None:
        changes = [service.user("alice", CHANGE, f"x.{number}") for number in range(30)]
        await publish(*changes[10:], *changes, *reversed(changes))
        await sidecar.until(lambda: sidecar.at_head)
        assert (await sidecar.decide("alice", "x.29")).code is Code.GRANTED

    async def test_an_exchange_that_was_made_anew_is_subscribed_to(
        self,
        start: Start,
        publish: Callable[..., Awaitable[None]],
        service: Any,
        rabbitmq: RabbitMQ,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """A binding ends with its exchange: the broker is there, the queue is there, and nothing comes."""
        monkeypatch.setattr(subscription, "SILENCE", 0.1)
        sidecar = await start(MemoryStore(), amqp_url=rabbitmq.url)
        beat = {"v": 1, "type": "heartbeat", "epoch": service.epoch, "revision": service.head}

        def silent() -> bool:
            return sidecar.replica.status(0.0).silent_subscription

        async def heard() -> None:
            async with asyncio.timeout(DEADLINE):
                while silent() or not sidecar.observer.seen["broker up"]:
                    await publish({**beat, "at": "2026-11-22T09:00:00Z"})
                    await asyncio.sleep(0.01)

        await heard()
        await remake(rabbitmq)
        await sidecar.until(silent)
        await heard()
        assert sidecar.observer.seen["silence"]
        assert sidecar.observer.seen["broker up"] == 1
        assert not sidecar.observer.seen["broker down"]

    @pytest.mark.parametrize("what", ["lost", "garbage", "unknown version", "heartbeat ahead"])
    async def test_what_the_broker_does_not_bring_is_fetched(
        self, sidecar: Any, publish: Callable[..., Awaitable[None]], service: Any, what: str
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
        await sidecar.until(lambda: sidecar.at_head)
        assert (await sidecar.decide("alice", CHANGE)).code is Code.PERMISSION_DENIED
        assert sidecar.observer.seen["gap" if what in ("lost", "heartbeat ahead") else "rejected"] == 1

    async def test_a_foreign_epoch_is_not_obeyed(
        self, sidecar: Any, publish: Callable[..., Awaitable[None]], service: Any
    ) -> None:
        forged = {**service.user("alice"), "epoch": "99999999-0000-4000-8000-000000000000"}
        service.restore(service.head - 1)
        position = sidecar.replica.near.position
        await publish(forged, forged)
        await sidecar.until(lambda: sidecar.observer.seen["foreign_epoch"] == 2 and service.calls["head"])
        assert (await sidecar.decide("alice", CHANGE)).code is Code.GRANTED
        assert sidecar.replica.near.position == position
