"""Receives the User service's messages from RabbitMQ. The only module that knows `aiormq`.

Nothing is acknowledged: what is lost here is a gap, and gaps are repaired from the change feed.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import NoReturn
from uuid import uuid4

import aiormq
from aiormq.abc import AbstractChannel, AbstractConnection, DeliveredMessage
from aiormq.exceptions import AMQPError
from pamqp.common import FieldTable
from yarl import URL

EXCHANGE = "authz.changes"
QUEUE_PREFIX = "authz.sidecar."
QUEUE_LENGTH = 10_000
"""Messages the broker keeps for this process; older ones are dropped first."""
HEARTBEAT = 2
"""Seconds; the connection is given up after about three without any."""
CONNECT_TIMEOUT = 5.0
CLOSE_TIMEOUT = 1.0
FIRST_RETRY, LAST_RETRY = 0.1, 2.0

logger = logging.getLogger(__name__)


class Subscription:
    """Hands every message to `on_message`, and to `on_state` whether it is subscribed, and why not.

    All from one task.
    """

    def __init__(
        self, url: str, on_message: Callable[[bytes], None], on_state: Callable[[bool, str], None]
    ) -> None:
        self._url = URL(url).update_query(heartbeat=HEARTBEAT, name="authz-sidecar")
        self._on_message = on_message
        self._on_state = on_state
        self._failures = 0
        self.queue: str | None = None
        """Of the latest subscription."""

    async def run(self) -> NoReturn:
        """Subscribe, and do it again whenever the subscription ends, until cancelled."""
        while True:
            try:
                await self._subscribe()
                reason = "the subscription ended"
            except (AMQPError, OSError, TimeoutError, RuntimeError) as error:
                reason = _reason(error)
            self._on_state(False, f"{self._url.host}:{self._url.port}: {reason}")
            delay = min(FIRST_RETRY * 2**self._failures, LAST_RETRY)
            self._failures = min(self._failures + 1, 10)
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311 (jitter)

    async def _subscribe(self) -> None:
        """Returns or raises when the subscription has ended, for whatever reason."""
        async with asyncio.timeout(CONNECT_TIMEOUT):
            connection = await aiormq.connect(self._url)
        try:
            cancelled = asyncio.Event()
            async with asyncio.timeout(CONNECT_TIMEOUT):
                channel = await connection.channel()
                channel.on_consumer_cancel_callbacks.add(lambda _frame: cancelled.set())
                self.queue = await open_queue(channel)
                await channel.basic_consume(self.queue, self._receive, no_ack=True)
            self._failures = 0
            self._on_state(True, "")
            await _ended(connection, channel, cancelled)
        finally:
            await _close(connection)

    async def _receive(self, message: DeliveredMessage) -> None:
        self._on_message(message.body)


def _reason(error: Exception) -> str:
    """The URL holds a password, and an exception of the library may hold the URL."""
    known = isinstance(error, OSError) and error.strerror
    return f"{type(error).__name__}: {known}" if known else type(error).__name__


async def open_queue(channel: AbstractChannel) -> str:
    """A queue of our own that receives all messages from now on and goes with the connection."""
    # Passive: the exchange is the User service's, and our broker user may not declare it.
    await channel.exchange_declare(EXCHANGE, exchange_type="fanout", passive=True, durable=True)
    queue = f"{QUEUE_PREFIX}{uuid4().hex}"
    bounds: FieldTable = {"x-max-length": QUEUE_LENGTH, "x-overflow": "drop-head"}
    await channel.queue_declare(queue, exclusive=True, auto_delete=True, arguments=bounds)
    await channel.queue_bind(queue, EXCHANGE)
    return queue


async def _ended(connection: AbstractConnection, channel: AbstractChannel, cancelled: asyncio.Event) -> None:
    """Wait until the connection or the channel is closed, or the broker cancelled the consumer."""
    by_broker = asyncio.ensure_future(cancelled.wait())
    waiting = (connection.closing, channel.closing, by_broker)
    try:
        done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for future in waiting:
            future.cancel()
    for future in done:
        if not future.cancelled() and (error := future.exception()) is not None:
            raise error


async def _close(connection: AbstractConnection) -> None:
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT):
            await connection.close()
    except (AMQPError, OSError, TimeoutError, RuntimeError):
        logger.debug("broker: closed the hard way")
