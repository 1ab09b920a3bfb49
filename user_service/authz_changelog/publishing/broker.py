"""The relay's connection to RabbitMQ: confirmed publishing to the exchange that sidecars follow."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from types import TracebackType
from urllib.parse import urlsplit

import pika
from pika.exceptions import (
    AMQPError,
    AuthenticationError,
    ChannelClosedByBroker,
    ConnectionBlockedTimeout,
    ConnectionClosedByBroker,
    IncompatibleProtocolError,
    ProbableAccessDeniedError,
    ProbableAuthenticationError,
)

EXCHANGE = "authz.changes"
WORDS = {
    AuthenticationError: "the broker refuses our name or password",
    ProbableAuthenticationError: "the broker refuses our name or password",
    ProbableAccessDeniedError: "the broker does not let our account into this virtual host",
    IncompatibleProtocolError: "it does not speak AMQP 0-9-1",
    ConnectionBlockedTimeout: "the broker takes nothing: it is short of memory or disk",
    socket.gaierror: "the name of the broker is not known",
    TimeoutError: "the broker does not answer in time",
}
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


def reason(error: BaseException) -> str:
    """In words that need no knowledge of the library, and never with the URL."""
    for each in _causes(error):
        if isinstance(each, ConnectionClosedByBroker | ChannelClosedByBroker):
            return f"the broker says: {each.reply_text}"
        for kind, text in WORDS.items():
            if isinstance(each, kind):
                return text
        if isinstance(each, OSError) and each.strerror:
            return f"the broker cannot be reached: {each.strerror}"
    return "the connection to the broker ended"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The exception, after those that it holds: they know more."""
    for inner in (*error.args, error.__cause__):
        if isinstance(inner, BaseException):
            yield from _causes(inner)
    yield error


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
