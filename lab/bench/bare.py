"""A message between two clients of the broker, and nothing else: a revocation cannot be faster."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any, Self

import pika

from lab.bench.pace import SILENCE_SECONDS
from lab.stack.process import StackError

EXCHANGE = "bench.bare"
SIZE = 400
"""Bytes, about as many as a change of one user has."""


class Bare:
    """A publisher and a consumer with connections of their own, an exchange and a queue like a sidecar's."""

    def __init__(self, url: str) -> None:
        self._to, self._from = (pika.BlockingConnection(pika.URLParameters(url)) for _ in range(2))
        self._publisher, self._consumer = self._to.channel(), self._from.channel()
        self._consumer.exchange_declare(EXCHANGE, exchange_type="fanout", auto_delete=True)
        queue = self._consumer.queue_declare("", exclusive=True).method.queue
        self._consumer.queue_bind(queue, EXCHANGE)
        self._consumer.basic_consume(queue, self._took, auto_ack=True)
        self._arrived = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for connection in (self._to, self._from):
            connection.close()

    def milliseconds(self) -> float:
        """From publishing a message to its arrival."""
        self._arrived = 0.0
        for connection in (self._to, self._from):
            connection.process_data_events(0)  # heartbeats
        sent = time.perf_counter()
        self._publisher.basic_publish(EXCHANGE, "", b"x" * SIZE)
        while not self._arrived:
            self._from.process_data_events(SILENCE_SECONDS)
            if time.perf_counter() - sent > SILENCE_SECONDS:
                raise StackError(f"a message was not delivered within {SILENCE_SECONDS:g} s")
        return (self._arrived - sent) * 1e3

    def _took(self, *_: Any) -> None:
        self._arrived = time.perf_counter()
