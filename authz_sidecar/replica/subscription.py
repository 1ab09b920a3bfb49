"""Receives the User service's messages from RabbitMQ. The only module that knows `aiormq`.

Nothing is acknowledged: what is lost here is a gap, and gaps are repaired from the change feed.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine
from enum import Enum, auto
from typing import Any, NoReturn
from uuid import uuid4

import aiormq
from aiormq.abc import AbstractChannel, AbstractConnection, DeliveredMessage
from aiormq.exceptions import (
    AMQPError,
    AuthenticationError,
    ChannelAccessRefused,
    ChannelClosed,
    ChannelNotFoundEntity,
    ConnectionClosed,
    ConnectionNotAllowed,
    IncompatibleProtocolError,
    ProbableAuthenticationError,
)
from pamqp.common import FieldTable
from yarl import URL

from authz_sidecar.reasons import Words, reason

EXCHANGE = "authz.changes"
QUEUE_PREFIX = "authz.sidecar."
QUEUE_LENGTH = 10_000
"""Messages the broker keeps for this process; older ones are dropped first."""
HEARTBEAT = 2
"""Seconds; the connection is given up after about three without any."""
CONNECT_TIMEOUT = 5.0
CLOSE_TIMEOUT = 1.0
FIRST_RETRY, LAST_RETRY = 0.1, 2.0
SILENCE, LONGEST_SILENCE = 10.0, 60.0
"""Seconds without a heartbeat after which we subscribe anew: at first, and at most."""

WORDS: Words = {
    ChannelNotFoundEntity: f"the exchange {EXCHANGE} is not there",
    ChannelAccessRefused: "the broker allows our account too little",
    ChannelClosed: "the broker has ended the subscription",
    AuthenticationError: "the broker refuses our name or password",
    ProbableAuthenticationError: "the broker refuses our name or password",
    ConnectionNotAllowed: "the broker does not let our account into this virtual host",
    ConnectionClosed: "the broker has ended the connection",
    IncompatibleProtocolError: "it does not speak AMQP 0-9-1",
    AMQPError: "the connection ended",
    RuntimeError: "the connection ended",
}

logger = logging.getLogger(__name__)


class State(Enum):
    """What became of a subscription."""

    SUBSCRIBED = auto()
    SILENT = auto()
    """It brings nothing, though the broker is there."""
    LOST = auto()
    """The broker cannot be reached."""


class _SilentError(Exception):
    """Nothing comes, for the reason it names."""


class Subscription:
    """Hands every message to `on_message`, and to `on_state` what became of it, and why.

    All from one task. `service_answers`: whether the User service could be asked when it last was.
    """

    def __init__(
        self,
        url: str,
        on_message: Callable[[bytes], None],
        on_state: Callable[[State, str], None],
        service_answers: Callable[[], bool],
    ) -> None:
        self._url = URL(url).update_query(heartbeat=HEARTBEAT, name="authz-sidecar")
        self._on_message = on_message
        self._on_state = on_state
        self._service_answers = service_answers
        self._failures = 0
        self._patience = SILENCE
        self._heard = asyncio.Event()
        self.silent = False
        """Whether the latest subscription ended, or was ended, because it brought nothing."""
        self.queue: str | None = None
        """Of the latest subscription."""

    def proved(self) -> None:
        """A heartbeat came this way."""
        self._heard.set()
        self._patience = SILENCE
        if self.silent:
            self.silent = False
            logger.info("subscription: heartbeats arrive again")

    async def run(self) -> NoReturn:
        """Subscribe, and do it again whenever the subscription ends, until cancelled."""
        while True:
            try:
                await self._subscribe()
            except (_SilentError, ChannelClosed) as error:
                self._note_silence(_reason(error))
            except (AMQPError, OSError, TimeoutError, RuntimeError) as error:
                self._note_loss(_reason(error))
            else:
                self._note_loss("the connection ended")
            delay = min(FIRST_RETRY * 2**self._failures, LAST_RETRY)
            self._failures = min(self._failures + 1, 10)
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311 (jitter)

    def _note_silence(self, reason: str) -> None:
        if not self.silent:
            logger.warning("subscription: silent (%s); is made anew until heartbeats arrive", reason)
        self.silent = True
        self._on_state(State.SILENT, reason)

    def _note_loss(self, reason: str) -> None:
        self._on_state(State.LOST, f"{self._url.host}:{self._url.port}: {reason}")

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
            self._on_state(State.SUBSCRIBED, "")
            await _ended(connection, channel, _gone(cancelled), self._silence())
        finally:
            await _close(connection)

    async def _silence(self) -> NoReturn:
        """Raises when no heartbeat has come for a while, though the User service answers.

        Each time it is a longer while: where nobody sends heartbeats, no subscription brings any.
        """
        self._heard.clear()
        while True:
            try:
                async with asyncio.timeout(self._patience):
                    await self._heard.wait()
                self._heard.clear()
            except TimeoutError:
                if self._service_answers():
                    break
        waited, self._patience = self._patience, min(2 * self._patience, LONGEST_SILENCE)
        raise _SilentError(f"no heartbeat for {waited:g} s, though the User service answers")

    async def _receive(self, message: DeliveredMessage) -> None:
        self._on_message(message.body)


def _reason(error: Exception) -> str:
    """The URL holds a password, and an exception of the library may hold the URL."""
    if isinstance(error, _SilentError):
        return str(error)
    return reason(error, WORDS)


async def open_queue(channel: AbstractChannel) -> str:
    """A queue of our own that receives all messages from now on and goes with the connection."""
    # Passive: the exchange is the User service's, and our broker user may not declare it.
    await channel.exchange_declare(EXCHANGE, exchange_type="fanout", passive=True, durable=True)
    queue = f"{QUEUE_PREFIX}{uuid4().hex}"
    bounds: FieldTable = {"x-max-length": QUEUE_LENGTH, "x-overflow": "drop-head"}
    await channel.queue_declare(queue, exclusive=True, auto_delete=True, arguments=bounds)
    await channel.queue_bind(queue, EXCHANGE)
    return queue


async def _gone(cancelled: asyncio.Event) -> NoReturn:
    await cancelled.wait()
    raise _SilentError("the broker has ended it: its queue is gone")


async def _ended(
    connection: AbstractConnection, channel: AbstractChannel, *others: Coroutine[Any, Any, NoReturn]
) -> None:
    """Wait until the connection or the channel is closed, or one of the `others` has raised its error."""
    waiting = (connection.closing, channel.closing, *map(asyncio.ensure_future, others))
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
