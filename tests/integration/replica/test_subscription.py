"""The subscription against a real RabbitMQ: it always comes back, and it cannot publish."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import aiormq
import pytest
from aiormq.exceptions import AMQPError

from authz_sidecar.replica import subscription as subscription_module
from authz_sidecar.replica.subscription import EXCHANGE, Subscription, open_queue
from lab import DEADLINE
from lab.stack.servers import RabbitMQ


@dataclass
class Heard:
    """What a subscription reported."""

    messages: list[bytes] = field(default_factory=list)
    states: list[bool] = field(default_factory=list)
    queue: Callable[[], str | None] = lambda: None

    @property
    def subscribed(self) -> bool:
        return self.states[-1:] == [True]

    @property
    def lost(self) -> bool:
        return self.states[-1:] == [False]


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():  # noqa: ASYNC110 (what is waited for happens in another program)
            await asyncio.sleep(0.01)


@asynccontextmanager
async def subscribed(url: str) -> AsyncIterator[Heard]:
    heard = Heard()
    subscription = Subscription(url, heard.messages.append, heard.states.append)
    heard.queue = lambda: subscription.queue
    task = asyncio.create_task(subscription.run())
    try:
        yield heard
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@asynccontextmanager
async def channel_of(url: str) -> AsyncIterator[aiormq.abc.AbstractChannel]:
    connection = await aiormq.connect(url)
    try:
        yield await connection.channel()
    finally:
        await connection.close()


async def declare(url: str) -> None:
    async with channel_of(url) as channel:
        await channel.exchange_declare(EXCHANGE, exchange_type="fanout", durable=True)


async def publish(url: str, *bodies: bytes) -> None:
    async with channel_of(url) as channel:
        for body in bodies:
            await channel.basic_publish(body, exchange=EXCHANGE)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence ends no subscription here: a busy machine may be silent for seconds, and what is published
    until the subscription is back is lost, as it should be."""
    monkeypatch.setattr(subscription_module, "HEARTBEAT", 60)


@pytest.fixture(scope="module")
def sidecar_url(rabbitmq: RabbitMQ) -> str:
    """A broker user with the permissions of a sidecar."""
    own = r"^authz\.sidecar\."
    read = r"^authz\.(sidecar\..*|changes)$"
    return rabbitmq.add_user("sidecar-under-test", "secret", configure=own, write=own, read=read)


async def test_messages_arrive_in_order(rabbitmq: RabbitMQ, sidecar_url: str) -> None:
    await declare(rabbitmq.url)
    bodies = [b"%d" % number for number in range(500)]
    async with subscribed(sidecar_url) as heard:
        await until(lambda: heard.subscribed)
        await publish(rabbitmq.url, *bodies)
        await until(lambda: len(heard.messages) == len(bodies))
    assert heard.messages == bodies


async def test_it_waits_for_the_exchange(rabbitmq: RabbitMQ, sidecar_url: str) -> None:
    async with channel_of(rabbitmq.url) as channel:
        await channel.exchange_delete(EXCHANGE)
    async with subscribed(sidecar_url) as heard:
        await until(lambda: heard.states.count(False) >= 2)
        await declare(rabbitmq.url)
        await until(lambda: heard.subscribed)


async def test_a_sidecar_may_not_publish(rabbitmq: RabbitMQ, sidecar_url: str) -> None:
    await declare(rabbitmq.url)
    async with subscribed(sidecar_url) as heard:
        await until(lambda: heard.subscribed)
        with pytest.raises(AMQPError, match="ACCESS_REFUSED"):
            await publish(sidecar_url, b"forged")
        await publish(rabbitmq.url, b"genuine")
        await until(lambda: heard.messages)
    assert heard.messages == [b"genuine"]


async def test_it_comes_back_after_a_restart_of_the_broker(rabbitmq: RabbitMQ, sidecar_url: str) -> None:
    await declare(rabbitmq.url)
    async with subscribed(sidecar_url) as heard:
        await until(lambda: heard.subscribed)
        await asyncio.to_thread(rabbitmq.kill)
        await until(lambda: heard.lost)
        await asyncio.to_thread(rabbitmq.start)
        await until(lambda: heard.subscribed)
        await publish(rabbitmq.url, b"after")
        await until(lambda: heard.messages)
    assert heard.messages == [b"after"]


async def test_a_cancelled_consumer_is_noticed(rabbitmq: RabbitMQ, sidecar_url: str) -> None:
    await declare(rabbitmq.url)
    async with subscribed(sidecar_url) as heard:
        await until(lambda: heard.subscribed)
        first = heard.queue()
        # Nobody but its connection may delete an exclusive queue, except for the broker's own command.
        await asyncio.to_thread(rabbitmq._control, "delete_queue", first)
        await until(lambda: heard.subscribed and heard.queue() != first)
    assert False in heard.states


async def test_nobody_there_is_tried_again_for_ever() -> None:
    async with subscribed("amqp://u:the-password@127.0.0.1:1/") as heard:
        await until(lambda: len(heard.states) >= 3)
    assert not any(heard.states)


async def test_the_password_is_never_logged(rabbitmq: RabbitMQ, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    url = rabbitmq.url_of(rabbitmq.user, "not-the-password")
    async with subscribed(url) as heard:
        await until(lambda: len(heard.states) >= 2)
    assert "broker" in caplog.text
    assert "not-the-password" not in caplog.text


async def test_the_queue_is_bounded(
    rabbitmq: RabbitMQ, sidecar_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sidecar that reads nothing costs the broker `QUEUE_LENGTH` messages at most; the oldest go first."""
    monkeypatch.setattr(subscription_module, "QUEUE_LENGTH", 5)
    await declare(rabbitmq.url)
    async with channel_of(sidecar_url) as channel:
        queue = await open_queue(channel)
        async with channel_of(rabbitmq.url) as publisher:
            await publisher.confirm_delivery()
            for number in range(20):
                await publisher.basic_publish(b"%d" % number, exchange=EXCHANGE)
        assert (await channel.queue_declare(queue, passive=True)).message_count == 5
        assert (await channel.basic_get(queue, no_ack=True)).body == b"15"
