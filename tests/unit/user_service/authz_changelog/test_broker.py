"""What the relay says of a broker that it cannot use: no names of the library, and never the URL."""

import socket

import pytest
from pika import exceptions as pika

from authz_changelog.publishing import broker

CASES = [
    (
        pika.AMQPConnectionError(ConnectionRefusedError(111, "Connection refused")),
        "the broker cannot be reached: Connection refused",
    ),
    (
        ConnectionResetError(104, "Connection reset by peer"),
        "the broker cannot be reached: Connection reset by peer",
    ),
    (socket.gaierror(-2, "Name or service not known"), "the name of the broker is not known"),
    (pika.ProbableAuthenticationError(403, "ACCESS_REFUSED"), "the broker refuses our name or password"),
    (pika.ProbableAccessDeniedError(530, "…"), "the broker does not let our account into this virtual host"),
    (
        pika.ConnectionClosedByBroker(320, "CONNECTION_FORCED - shutdown"),
        "the broker says: CONNECTION_FORCED - shutdown",
    ),
    (pika.ChannelClosedByBroker(404, "NOT_FOUND - no exchange"), "the broker says: NOT_FOUND - no exchange"),
    (pika.ConnectionBlockedTimeout("…"), "the broker takes nothing: it is short of memory or disk"),
    (pika.StreamLostError("Stream connection lost: …"), "the connection to the broker ended"),
    (TimeoutError(), "the broker does not answer in time"),
]


@pytest.mark.parametrize(("error", "words"), CASES)
def test_why_the_broker_is_of_no_use(error: Exception, words: str) -> None:
    assert broker.reason(error) == words
