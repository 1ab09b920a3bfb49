"""The relay's connection to RabbitMQ: confirmed publishing to the exchange that sidecars follow."""

from __future__ import annotations

from types import TracebackType
from urllib.parse import urlsplit

import pika
from pika.exceptions import AMQPError

EXCHANGE = "authz.changes"
FAILURES = (AMQPError, OSError)
"""What any call of `Broker` may raise: the connection is then of no more use."""

# Sidecars' queues die with their connection: a message on disk would outlive everyone who wants it.
_PROPERTIES = pika.BasicProperties(content_type="application/json", delivery_mode=pika.DeliveryMode.Transient)


def parameters(url: str) -> pika.URLParameters:
    """Raises `ValueError`, which never repeats the URL: it holds a password."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"amqp", "amqps"} and bool(parts.hostname) and parts.port != 0
        parsed = pika.URLParameters(url) if usable else None
    except (ValueError, TypeError, KeyError):
        parsed = None
    if parsed is None:
        raise ValueError("not of the form amqp://user:password@host:port/vhost (or amqps://…)")
    if parsed.heartbeat is None:
        parsed.heartbeat = 10
    parsed.blocked_connection_timeout = 10
    parsed.socket_timeout = parsed.stack_timeout = 5
    parsed.connection_attempts = 1
    return parsed


class Broker:
    """An open connection. `publish` returns when the broker has the message."""

    def __init__(self, to: pika.URLParameters) -> None:
        self._connection = pika.BlockingConnection(to)
        self._channel = self._connection.channel()
        self._channel.confirm_delivery()
        self._channel.exchange_declare(EXCHANGE, exchange_type="fanout", durable=True)

    def __enter__(self) -> Broker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._connection.is_open:
            self._connection.close()

    def publish(self, body: str) -> None:
        self._channel.basic_publish(EXCHANGE, routing_key="", body=body.encode(), properties=_PROPERTIES)

    def keep_alive(self) -> None:
        """Answer the broker's heartbeats; to be called every few seconds."""
        self._connection.process_data_events(time_limit=0)
