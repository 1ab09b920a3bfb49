"""Anonymous clients that sign in under made-up names do not take the User service away from sidecars."""

from __future__ import annotations

import secrets
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

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
