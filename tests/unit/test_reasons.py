"""What is said of those who do not answer: the field's words, and no library's."""

from __future__ import annotations

import asyncio
import socket
import ssl
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey
from aiormq import exceptions as amqp
from redis import exceptions as redis
from redis.asyncio.sentinel import MasterNotFoundError

from authz_sidecar.reasons import reason
from authz_sidecar.replica import redis_store, subscription

KEY: Any = ConnectionKey("h", 1, is_ssl=False, ssl=True, proxy=None, proxy_auth=None, proxy_headers_hash=None)
REFUSED = ConnectionRefusedError(111, "Connect call failed ('127.0.0.1', 9)")
BAD_CERTIFICATE = ssl.SSLCertVerificationError(1, "…")
BAD_CERTIFICATE.verify_message = "self-signed certificate"


def caused(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


HTTP: list[tuple[BaseException, str]] = [
    (aiohttp.ClientConnectorError(KEY, REFUSED), "connection refused"),
    (
        aiohttp.ClientConnectorError(
            KEY,
            OSError("Multiple exceptions: [Errno 111] Connect call failed, [Errno 111] Connect call failed"),
        ),
        "connection refused",
    ),
    (aiohttp.ClientConnectorError(KEY, OSError(113, "Connect call failed")), "No route to host"),
    (
        aiohttp.ClientConnectorDNSError(KEY, socket.gaierror(-2, "Name or service not known")),
        "the name is not known",
    ),
    (
        aiohttp.ClientConnectorCertificateError(KEY, BAD_CERTIFICATE),
        "its certificate is not accepted: self-signed certificate",
    ),
    (
        aiohttp.ClientConnectorSSLError(KEY, ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] …")),
        "TLS cannot be agreed on",
    ),
    (aiohttp.ServerDisconnectedError(), "the connection ended without an answer"),
    (aiohttp.ClientOSError(104, "Connection reset by peer"), "the connection was ended from there"),
    (aiohttp.ConnectionTimeoutError("Connection timeout to host http://u:p@h"), "no connection in time"),
    (aiohttp.SocketTimeoutError("Timeout on reading data from socket"), "no answer in time"),
    (caused(TimeoutError(), asyncio.CancelledError()), "no answer in time"),
    (aiohttp.ClientPayloadError("Response payload is not completed"), "the answer was cut off"),
    (
        aiohttp.ClientResponseError(SimpleNamespace(real_url="u"), (), message="Expected HTTP/"),
        "the answer is not HTTP",
    ),  # type: ignore[arg-type]
    (aiohttp.InvalidURL("ftp://h"), "it is not asked by HTTP"),
    (FileNotFoundError(2, "No such file or directory"), "No such file or directory"),
    (BrokenPipeError(), "the connection was ended from there"),
    (RuntimeError("unable to perform operation on <TCPTransport>"), "no usable answer"),
]
REDIS: list[tuple[BaseException, str]] = [
    (caused(redis.ConnectionError("Error 111 connecting to h:1."), REFUSED), "connection refused"),
    (redis.ConnectionError("Connection closed by server."), "the connection ended"),
    (redis.TimeoutError("Timeout reading from h:1"), "no answer in time"),
    (redis.AuthenticationError("invalid username-password pair"), "it refuses our password"),
    (redis.BusyLoadingError(), "it is still loading its data"),
    (MasterNotFoundError("No master found for 'x'"), "no sentinel knows its master"),
    (
        redis.ReadOnlyError("You can't write against a read only replica."),
        "it answers You can't write against a read only replica.",
    ),
    (RuntimeError("unable to perform operation on <TCPTransport>"), "the connection had ended"),
]
AMQP: list[tuple[BaseException, str]] = [
    (caused(amqp.AMQPConnectionError("amqp://u:secret@h"), REFUSED), "connection refused"),
    (amqp.AMQPConnectionError("amqp://u:secret@h"), "the connection ended"),
    (amqp.ProbableAuthenticationError("ACCESS_REFUSED"), "the broker refuses our name or password"),
    (amqp.ChannelNotFoundEntity("NOT_FOUND"), "the exchange authz.changes is not there"),
    (amqp.ChannelAccessRefused("ACCESS_REFUSED"), "the broker allows our account too little"),
    (amqp.ConnectionClosed(320, "CONNECTION_FORCED"), "the broker has ended the connection"),
    (
        amqp.ConnectionNotAllowed(530, "NOT_ALLOWED"),
        "the broker does not let our account into this virtual host",
    ),
    (amqp.ChannelInvalidStateError("writer is None"), "the connection ended"),
    (TimeoutError(), "no answer in time"),
]


@pytest.mark.parametrize(("error", "words"), HTTP)
def test_over_http(error: BaseException, words: str) -> None:
    assert reason(error) == words


@pytest.mark.parametrize(("error", "words"), REDIS)
def test_of_redis(error: BaseException, words: str) -> None:
    assert redis_store._reason(error) == words


@pytest.mark.parametrize(("error", "words"), AMQP)
def test_of_the_broker(error: Exception, words: str) -> None:
    assert subscription._reason(error) == words


async def test_of_those_who_are_really_not_there() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens
        port = taken.getsockname()[1]
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientError) as raised:
                await session.get(f"http://127.0.0.1:{port}/")
        assert reason(raised.value) == "connection refused"
        with pytest.raises(ConnectionRefusedError) as raised_by_asyncio:
            await asyncio.open_connection("127.0.0.1", port)
        assert reason(raised_by_asyncio.value) == "connection refused"
