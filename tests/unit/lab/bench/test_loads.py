"""The load generators see every answer, in order, however its bytes are cut."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle

import pytest

from lab.bench import pace
from lab.bench.flood import Client, Flood, Question
from lab.stack.process import StackError

CREATED = b"HTTP/1.1 201 Created\r\nDate: now\r\ncontent-length: 5\r\n\r\nHTTP/"
FORBIDDEN = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"


class Wire(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)


def client(*rights: int) -> tuple[Client, Flood, Wire]:
    flood, wire = Flood(), Wire()
    made = Client(cycle([Question(b"%d;" % right, right) for right in rights]), flood)
    made.connection_made(wire)
    return made, flood, wire


@pytest.mark.parametrize("size", [1, 7, 64, 1_000])
def test_answers_are_matched_with_their_questions(size: int) -> None:
    made, flood, wire = client(201, 403)
    made.send(4)
    assert wire.written == b"201;403;201;403;"
    answers = (CREATED + FORBIDDEN) * 2
    for start in range(0, len(answers), size):
        made.data_received(answers[start : start + size])
    assert flood.statuses == {201: 2, 403: 2}
    assert (flood.sent, flood.wrong, made.unanswered) == (4, 0, 0)


def test_a_wrong_answer_and_a_missing_one_are_counted() -> None:
    made, flood, _ = client(403)
    made.send(3)
    made.data_received(CREATED)
    made.connection_lost(None)
    assert (flood.wrong, flood.broken) == (1, 2)


def test_what_follows_an_announced_end_may_be_sent_again() -> None:
    made, flood, wire = client(201)
    made.send(3)
    made.data_received(CREATED.replace(b"Date: now", b"Connection: close"))
    made.send(1)
    made.connection_lost(None)
    assert (flood.again, flood.broken, made.connected) == (2, 0, False)
    made.connection_made(wire)
    made.send(1)
    assert made.unanswered == 1


def test_a_client_with_too_much_unanswered_gives_up() -> None:
    made, flood, _ = client(201)
    made.send(1_000)
    assert flood.sent == made.unanswered < 1_000


@contextmanager
def server(answers: bytes) -> Iterator[tuple[str, int]]:
    """Accepts one connection; answers its first request with `answers` and ends."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answers)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()
        thread.join()


def test_paced_requests_are_timed_and_their_statuses_counted() -> None:
    with server(FORBIDDEN) as address:
        result = pace.run(address, pace.messages("h", ["token"]), rate=100, seconds=0.01, connections=1)
    assert result.statuses == {403: 1}
    assert len(result.latencies) == 1


def test_a_connection_that_breaks_off_is_an_error() -> None:
    with server(CREATED[:-1]) as address, pytest.raises(StackError, match="closed a connection"):
        pace.run(address, pace.messages("h", ["token"]), rate=100, seconds=0.01, connections=1)


def test_percentiles() -> None:
    paced = pace.Paced(latencies=[float(number) for number in range(1, 101)])
    assert (paced.p50, paced.p99) == (50.5, 100.0)
