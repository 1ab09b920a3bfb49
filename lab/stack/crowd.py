"""Clients that notice when a request is not answered."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from threading import Event

from lab import DEADLINE

CLIENTS = 4
Asked = tuple[str, str, bytes | None]
"""Method, path, body."""


CHANGE: Asked = ("PATCH", "/students/999999/", b"{}")
"""Of a student that does not exist."""


class Crowd:
    """Asks the same without a pause, until told to stop; knows every answer."""

    def __init__(self, port: int, token: str, asked: Asked = CHANGE, clients: int = CLIENTS) -> None:
        """`clients`: so many keep their connection, and so many make one for each request."""
        self._port = port
        self._asked = asked
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._stop = Event()
        self._pool = ThreadPoolExecutor(2 * clients)
        self._answers = [self._pool.submit(self._ask, keep=bool(n % 2)) for n in range(2 * clients)]

    def _ask(self, *, keep: bool) -> list[int]:
        statuses: list[int] = []
        connection = HTTPConnection("127.0.0.1", self._port, timeout=DEADLINE)
        headers = self._headers if keep else {**self._headers, "Connection": "close"}
        while not self._stop.is_set():
            # http.client connects anew only after an answer that ends the connection.
            connection.request(*self._asked, headers)
            with connection.getresponse() as answer:
                statuses.append(answer.status)
                answer.read()
        connection.close()
        return statuses

    def stop(self) -> list[int]:
        """The status of each answer. Raises what a client met instead of an answer."""
        self._stop.set()
        self._pool.shutdown()
        return [status for each in self._answers for status in each.result()]
