"""The broker: one fanout exchange and a bounded queue for each subscription, with what can go wrong with it.

`connect` stands in for `aiormq.connect`: the sidecar's own subscription runs on it, and receives bytes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

from aiormq.exceptions import AMQPConnectionError, ChannelNotFoundEntity, ConnectionClosed

from lab.simulation.links import IN, OUT, Connection, Link
from lab.simulation.scheduler import ProcessLoop, Scheduler

DEAF_SECONDS = 6.0
"""A connection over which nothing comes is given up after that: three heartbeats."""
SOCKET = 30
"""Messages on their way to a process that does not read; the rest stay in its queue."""

Receive = Callable[[Any], Coroutine[Any, Any, None]]


class Queue:
    """What waits for one subscription."""

    def __init__(self, length: int) -> None:
        self.messages: deque[bytes] = deque(maxlen=length)
        self.bound = False
        self.channel: Channel | None = None


class Broker:
    """`publish` is what relays call. What is wrong with it is in its public attributes."""

    def __init__(self, scheduler: Scheduler, random: Random, length: int) -> None:
        self.down = False
        self.frozen = False
        self.exchange = True
        self.loses = 0.0
        self.duplicates = 0.0
        self.disorders = 0.0
        """The share of messages that are delivered later than those after them."""
        self.backlog = 0.0
        """Seconds that every message waits before it reaches the queues."""
        self.queues: dict[str, Queue] = {}
        self.published: deque[bytes] = deque(maxlen=500)
        self._scheduler = scheduler
        self._random = random
        self._length = length
        self._undelivered: list[bytes] = []

    def publish(self, body: bytes) -> bool:
        """Whether it was taken; a broker that is frozen takes it later."""
        if self.down:
            return False
        self.published.append(body)
        if self.frozen:
            self._undelivered.append(body)
            return True
        draw = self._random.random()
        if draw < self.loses:
            return True
        for name in tuple(self.queues):
            self._route(name, body)
            if self._random.random() < self.duplicates:
                self._route(name, body)
        return True

    def _route(self, name: str, body: bytes) -> None:
        queue = self.queues.get(name)
        if queue is None or not queue.bound:
            return
        late = self.backlog
        if self._random.random() < self.disorders:
            late += self._random.uniform(0.01, 3.0)
        if late:
            self._scheduler.after(late, lambda: self._put(name, body))
        else:
            self._put(name, body)

    def _put(self, name: str, body: bytes) -> None:
        queue = self.queues.get(name)
        if queue is not None and not self.down:
            queue.messages.append(body)
            self.pump(queue)

    def pump(self, queue: Queue) -> None:
        """Send on what the subscriber takes."""
        channel = queue.channel
        while channel is not None and queue.messages and channel.takes() and not self.frozen:
            channel.deliver(queue.messages.popleft())

    def thaw(self) -> None:
        self.frozen = False
        held, self._undelivered = self._undelivered, []
        for body in held:
            self.publish(body)
        for queue in self.queues.values():
            self.pump(queue)

    def stop(self) -> None:
        """Queues are exclusive: they go with the connections."""
        self.down = True
        self.queues.clear()
        self._undelivered.clear()

    def rebuild_exchange(self) -> None:
        """It was deleted and declared anew: queues stay, bindings do not."""
        for queue in self.queues.values():
            queue.bound = False

    def declare(self, name: str) -> None:
        self.queues[name] = Queue(self._length)

    def delete(self, name: str) -> None:
        self.queues.pop(name, None)


async def connect(loop: ProcessLoop, broker: Broker, link: Link) -> BrokerConnection:
    """A connection of that process."""
    if link.refuses or broker.down:
        await asyncio.sleep(link.delay())
        raise AMQPConnectionError("refused")
    connection = BrokerConnection(loop, broker, link)
    try:
        await connection.round_trip()
    except BaseException:
        connection.tcp.close()
        raise
    return connection


class BrokerConnection:
    """The part of `aiormq`'s connection that the sidecar uses."""

    def __init__(self, loop: ProcessLoop, broker: Broker, link: Link) -> None:
        self.loop = loop
        self.broker = broker
        self.tcp = Connection(link, self._lost)
        self.closing: asyncio.Future[None] = loop.create_future()
        self.queues: list[str] = []
        self._watch = link.scheduler.after
        self._watch(DEAF_SECONDS / 3, self._check)

    async def channel(self) -> Channel:
        await self.round_trip()
        return Channel(self)

    async def round_trip(self) -> None:
        """Ask and be answered."""
        answered: asyncio.Future[None] = self.loop.create_future()

        def answer() -> None:
            if self.broker.frozen:
                self.tcp.link.scheduler.after(0.1, answer)
            else:
                self.tcp.send(IN, lambda: self._answer(answered))

        self.tcp.send(OUT, answer)
        await asyncio.wait((answered, self.closing), return_when=asyncio.FIRST_COMPLETED)
        if self.closing.done():
            answered.cancel()
            raise ConnectionClosed(320, "lost")

    def _answer(self, answered: asyncio.Future[None]) -> None:
        if not answered.done():
            answered.set_result(None)

    async def close(self) -> None:
        self._end()
        if not self.closing.done():
            self.closing.set_result(None)
        await asyncio.sleep(0)

    def _check(self) -> None:
        """Both ends give up a connection over which no heartbeat comes."""
        if not self.tcp.open:
            return
        link = self.tcp.link
        if (any(link.blocked) and link.scheduler.now - link.blocked_since > DEAF_SECONDS) or self.broker.down:
            self.tcp.reset()
        else:
            self._watch(DEAF_SECONDS / 3, self._check)

    def _lost(self) -> None:
        self._end()
        if not self.closing.done():
            self.closing.set_exception(ConnectionClosed(320, "lost"))
            self.closing.exception()  # whether anybody looks is not our matter

    def _end(self) -> None:
        self.tcp.close()
        for name in self.queues:
            self.broker.delete(name)


class Channel:
    """The part of `aiormq`'s channel that the sidecar uses."""

    def __init__(self, connection: BrokerConnection) -> None:
        self.closing: asyncio.Future[None] = connection.loop.create_future()
        self.on_consumer_cancel_callbacks: set[Callable[[Any], object]] = set()
        self._connection = connection
        self._receive: Receive | None = None
        self._on_way = 0

    async def exchange_declare(self, _name: str, **_options: Any) -> None:
        await self._connection.round_trip()
        if not self._connection.broker.exchange:
            raise ChannelNotFoundEntity("no exchange")

    async def queue_declare(self, name: str, **_options: Any) -> None:
        await self._connection.round_trip()
        self._connection.queues.append(name)
        self._connection.broker.declare(name)

    async def queue_bind(self, name: str, _exchange: str) -> None:
        await self._connection.round_trip()
        self._queue(name).bound = True

    async def basic_consume(self, name: str, receive: Receive, **_options: Any) -> None:
        await self._connection.round_trip()
        self._receive = receive
        queue = self._queue(name)
        queue.channel = self
        self._connection.broker.pump(queue)

    def _queue(self, name: str) -> Queue:
        queue = self._connection.broker.queues.get(name)
        if queue is None:
            raise ChannelNotFoundEntity("no such queue")
        return queue

    def cancel(self) -> None:
        """The broker ends the consumer: its queue is gone."""
        for call in tuple(self.on_consumer_cancel_callbacks):
            self._connection.loop.call_soon(call, None)

    # Messages

    def takes(self) -> bool:
        return self._on_way < SOCKET

    def deliver(self, body: bytes) -> None:
        self._on_way += 1
        self._connection.tcp.send(IN, lambda: self._connection.loop.call_soon(self._hand_over, body))

    def _hand_over(self, body: bytes) -> None:
        self._on_way -= 1
        if self._connection.tcp.open and self._receive is not None:
            self._connection.loop.spawn(self._receive(_Delivered(body)))
        for name in self._connection.queues:
            queue = self._connection.broker.queues.get(name)
            if queue is not None:
                self._connection.broker.pump(queue)


class _Delivered:
    def __init__(self, body: bytes) -> None:
        self.body = body
