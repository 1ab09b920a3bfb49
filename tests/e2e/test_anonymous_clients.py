"""Anonymous clients do not take the User service away from sidecars, nor fill its disk."""

from __future__ import annotations

import json
import secrets
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

import pytest

from lab.stack.client import People, call
from lab.stack.system import Stack

CLIENTS = 24
SECONDS = 15.0
"""Half as long again as the sidecar goes without proof."""


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """No broker: what the sidecar knows, it has from the feed."""
    with Stack(
        user_service_env={"AUTH_LOGIN_RATE": "10/min"}, sidecar_env={"AUTHZ_MAX_STALENESS": "10"}
    ) as stack:
        yield stack


@contextmanager
def sign_ins(url: str) -> Iterator[Counter[int]]:
    """Many at once, as fast as they are answered; the statuses of their answers, counted."""
    statuses: Counter[int] = Counter()
    ended = threading.Event()

    def sign_in() -> None:
        while not ended.is_set():
            body = {"username": secrets.token_hex(8), "password": "guess"}
            statuses[call(f"{url}/api/token/", "POST", data=body).status] += 1

    threads = [threading.Thread(target=sign_in) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield statuses
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def test_changes_are_decided_meanwhile(stack: Stack) -> None:
    people = People(stack.user_service.url, stack.user_service.password)
    token = people.token("alice")
    answers: Counter[int] = Counter()
    with sign_ins(stack.user_service.url) as statuses:
        ends = time.monotonic() + SECONDS
        while time.monotonic() < ends:
            student = {"name": "Ada", "email": f"{secrets.token_hex(8)}@example.com"}
            answer = call(f"{stack.sidecar.url}/students/", "POST", token=token, data=student)
            answers[answer.status] += 1
            time.sleep(0.2)
    assert 503 not in answers
    assert set(statuses) == {401, 429}


HEAD = b"POST /api/token/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: %b\r\n%b\r\n\r\n"
MULTIPART = b"multipart/form-data; boundary=b"
FILE = b'--b\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n'
BLOCK = b"x" * 65_536


def status_of(url: str, head: bytes, *body: bytes) -> int:
    """What a client is answered that sends as much of this as it can."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as connection:
        with suppress(ConnectionError):
            for part in (head, *body):
                connection.sendall(part)
        return int(connection.makefile("rb").readline().split()[1])


def chunked(*parts: bytes) -> list[bytes]:
    return [*(b"%x\r\n%b\r\n" % (len(part), part) for part in parts), b"0\r\n\r\n"]


def test_large_bodies_of_strangers_are_refused(stack: Stack) -> None:
    url = stack.user_service.url
    announced = HEAD % (MULTIPART, b"Content-Length: 209715200")
    assert status_of(url, announced, FILE, *[BLOCK] * 16) == 413
    unannounced = HEAD % (MULTIPART, b"Transfer-Encoding: chunked")
    assert status_of(url, unannounced, *chunked(FILE, *[BLOCK] * 16)) == 413
    assert status_of(url, unannounced, *chunked(FILE, *[BLOCK] * 16)[:-1]) == 413


def test_a_sign_in_may_come_in_chunks(stack: Stack) -> None:
    body = json.dumps({"username": "alice", "password": stack.user_service.password}).encode()
    head = HEAD % (b"application/json", b"Transfer-Encoding: chunked")
    assert status_of(stack.user_service.url, head, *chunked(body[:10], body[10:])) == 200


def test_a_body_that_does_not_come_is_not_waited_for(stack: Stack) -> None:
    head = HEAD % (b"application/json", b"Content-Length: 100")
    assert status_of(stack.user_service.url, head, b"{") == 400
