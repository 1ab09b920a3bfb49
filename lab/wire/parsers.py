"""The requests that two parsers besides ours find in the same bytes: h11's and gunicorn's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import h11
from gunicorn.config import Config
from gunicorn.http import RequestParser

Fields = tuple[tuple[str, str], ...]


class Request(NamedTuple):
    """One whole request. Names of fields are in upper case."""

    method: str
    target: str
    fields: Fields
    body: bytes
    trailers: Fields


def read_alike(data: bytes) -> list[Request]:
    """What both parsers find in bytes that hold whole requests and nothing else."""
    found = list(by_h11(data))
    assert by_gunicorn(data) == found
    return found


def by_h11(data: bytes) -> Iterator[Request]:
    """The whole requests, up to the first that ends the connection. Raises h11.RemoteProtocolError."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=2**20)
    if data:
        connection.receive_data(data)
    request, body = None, b""
    while (event := connection.next_event()) not in (h11.NEED_DATA, h11.PAUSED):
        if isinstance(event, h11.Request):
            request, body = event, b""
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            assert request is not None
            method, target = request.method.decode(), request.target.decode()
            yield Request(method, target, _fields(request.headers), body, _fields(event.headers))
            connection.send(h11.Response(status_code=404, headers=[]))
            connection.send(h11.EndOfMessage())
            if connection.our_state is not h11.DONE:
                return
            connection.start_next_cycle()


def by_gunicorn(data: bytes) -> list[Request]:
    """The same, read with room for all that the proxy lets pass."""
    config = Config()
    config.set("limit_request_line", 0)
    config.set("limit_request_field_size", 2**20)
    config.set("limit_request_fields", 1000)
    parser = RequestParser(config, iter([data]), ("127.0.0.1", 1))
    return [  # the trailers are read with the body
        Request(each.method, each.uri, tuple(each.headers), each.body.read(), tuple(each.trailers))
        for each in parser
    ]


def _fields(fields: Iterable[tuple[bytes, bytes]]) -> Fields:
    return tuple((name.decode().upper(), value.decode("latin-1")) for name, value in fields)
