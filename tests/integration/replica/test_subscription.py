"""The subscription against a real RabbitMQ: it always comes back, and it cannot publish."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import aiormq
import pytest
from aiormq.exceptions import AMQPError

from authz_sidecar.replica import subscription as subscription_module
from authz_sidecar.replica.subscription import EXCHANGE, State, Subscription, open_queue
from lab import DEADLINE
from lab.stack.servers import BROKER, RabbitMQ


@dataclass
class Heard:
    """What a subscription reported."""

    messages: list[bytes] = field(default_factory=list)
    states: list[State] = field(default_factory=list)
    queue: Callable[[], str | None] = lambda: None
    proved: Callable[[], None] = lambda: None

    @property
    def subscribed(self) -> bool:
        return self.states[-1:] == [State.SUBSCRIBED]

    @property
    def lost(self) -> bool:
        return self.states[-1:] == [State.LOST]


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():  # noqa: ASYNC110 (what is waited for happens in another program)
            await asyncio.sleep(0.01)


@asynccontextmanager
async def subscribed(url: str) -> AsyncIterator[Heard]:
    heard = Heard()
    subscription = Subscription(
        url, heard.messages.append, lambda state, _reason: heard.states.append(state), lambda: True
    )
    heard.queue = lambda: subscription.queue
    heard.proved = subscription.proved
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


async def exists(url: str, queue: str) -> bool:
    try:
        async with channel_of(url) as channel:
            await channel.queue_declare(queue, passive=True)
    except AMQPError:
        return False
    return True


def shipped_parameters() -> list[dict[str, Any]]:
    parameters: list[dict[str, Any]] = json.loads(BROKER.read_text())["parameters"]
    return parameters


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
    monkeypatch.setattr(subscription_module, "SILENCE", 2 * DEADLINE)


@pytest.fixture(scope="module")
def sidecar_url(rabbitmq: RabbitMQ) -> str:
    """A broker account as sidecars have."""
    return rabbitmq.add_sidecar("sidecar-under-test", "secret")


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
        await until(lambda: heard.states.count(State.SILENT) >= 2)
        assert State.LOST not in heard.states, "the broker is there"
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
        await declare(rabbitmq.url)  # as the relay does: what was declared just before a kill may be lost
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
    assert State.SILENT in heard.states
    assert State.LOST not in heard.states


async def test_one_that_brings_nothing_is_made_anew_ever_more_seldom(
    rabbitmq: RabbitMQ, sidecar_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exchange is deleted and made anew, and nobody tells the queue that was bound to the old one."""
    monkeypatch.setattr(subscription_module, "SILENCE", 0.05)
    monkeypatch.setattr(subscription_module, "LONGEST_SILENCE", 2 * DEADLINE)
    await declare(rabbitmq.url)
    async with subscribed(sidecar_url) as heard:
        await until(lambda: heard.subscribed)
        async with channel_of(rabbitmq.url) as channel:
            await channel.exchange_delete(EXCHANGE)
        await declare(rabbitmq.url)
        async with asyncio.timeout(DEADLINE):
            while not heard.messages:
                await publish(rabbitmq.url, b"after")
                await asyncio.sleep(0.01)
        assert State.LOST not in heard.states
        heard.proved()


async def test_nobody_there_is_tried_again_for_ever() -> None:
    async with subscribed("amqp://u:the-password@127.0.0.1:1/") as heard:
        await until(lambda: len(heard.states) >= 3)
    assert set(heard.states) == {State.LOST}


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


class TestHoarding:
    """Whoever has a sidecar's account can keep at the broker only what is bounded, and what ends with it."""

    QUEUE = f"{subscription_module.QUEUE_PREFIX}hoard"

    @pytest.fixture
    def limit(self, rabbitmq: RabbitMQ, sidecar_url: str) -> Iterator[Callable[..., None]]:
        """Makes the numbers of the shipped policy smaller, so that a test reaches them."""
        (shipped,) = (
            each["value"] for each in shipped_parameters() if each["component"] == "operator_policy"
        )

        def set_policy(**smaller: int) -> None:
            definition = {**shipped["definition"], **smaller}
            assert definition.keys() == shipped["definition"].keys()
            command = (
                "set_operator_policy",
                "--apply-to",
                shipped["apply-to"],
                "sidecars",
                shipped["pattern"],
            )
            rabbitmq._control(*command, json.dumps(definition))

        yield set_policy
        set_policy()

    @pytest.mark.parametrize("kind", ["classic", "quorum"])
    async def test_a_queue_does_not_outlive_its_reader(
        self, rabbitmq: RabbitMQ, sidecar_url: str, limit: Callable[..., None], kind: str
    ) -> None:
        await declare(rabbitmq.url)
        limit(expires=200)
        async with channel_of(sidecar_url) as channel:
            arguments: Any = {"x-queue-type": kind, "x-expires": 2**31}
            await channel.queue_declare(self.QUEUE, durable=True, arguments=arguments)
        async with asyncio.timeout(DEADLINE):
            while await exists(rabbitmq.url, self.QUEUE):  # noqa: ASYNC110 (the broker ends it)
                await asyncio.sleep(1.0)  # longer than `expires`: whoever asks for a queue makes use of it

    @pytest.mark.parametrize("bound", ["max-length", "max-length-bytes"])
    async def test_no_argument_makes_a_queue_hold_more(
        self, rabbitmq: RabbitMQ, sidecar_url: str, limit: Callable[..., None], bound: str
    ) -> None:
        await declare(rabbitmq.url)
        limit(**{bound: 5})
        async with channel_of(sidecar_url) as channel:
            arguments: Any = {"x-max-length": 10**9, "x-max-length-bytes": 10**12}
            await channel.queue_declare(self.QUEUE, exclusive=True, arguments=arguments)
            await channel.queue_bind(self.QUEUE, EXCHANGE)
            async with channel_of(rabbitmq.url) as publisher:
                await publisher.confirm_delivery()
                for _ in range(20):
                    await publisher.basic_publish(b"x", exchange=EXCHANGE)
            assert (await channel.queue_declare(self.QUEUE, passive=True)).message_count == 5

    async def test_the_number_of_queues_is_limited(self, sidecar_url: str) -> None:
        (most,) = (
            each["value"]["max-queues"] for each in shipped_parameters() if "max-queues" in each["value"]
        )
        async with channel_of(sidecar_url) as channel:
            for number in range(most):
                await channel.queue_declare(f"{self.QUEUE}.{number}", exclusive=True)
            with pytest.raises(AMQPError, match="limit"):
                await channel.queue_declare(f"{self.QUEUE}.more", exclusive=True)

    @pytest.mark.parametrize("name", ["hoard", "authz.changes.hoard", "authz.sidecars"])
    async def test_nothing_of_another_name_can_be_made(self, sidecar_url: str, name: str) -> None:
        async with channel_of(sidecar_url) as channel:
            with pytest.raises(AMQPError, match="ACCESS_REFUSED"):
                await channel.exchange_declare(name, durable=True)
