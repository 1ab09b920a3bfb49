"""A small HTTP client that keeps its connection and times what it sends."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes
    milliseconds: float
    received_at: float
    """`time.perf_counter()` when the whole answer had been read."""

    @property
    def json(self) -> Any:
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    @property
    def code(self) -> str:
        """The sidecar's stable code of a refusal; empty in an answer of anybody else."""
        problem = self.json
        return str(problem.get("code", "")) if isinstance(problem, dict) else ""


class Client:
    """One server, one connection at a time."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._parts = urlsplit(self.url)
        self._connection = self._connect()

    def send(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        fields = {**(headers or {})}
        if token is not None:
            fields["Authorization"] = f"Bearer {token}"
        if body is not None:
            fields["Content-Type"] = "application/json"
        content = None if body is None else json.dumps(body).encode()
        started = time.perf_counter()
        self._connection.request(method, self._parts.path + path, content, fields)
        answer = self._connection.getresponse()
        read = answer.read()
        received = time.perf_counter()
        return Answer(answer.status, dict(answer.headers), read, (received - started) * 1000, received)

    def close(self) -> None:
        """Forgets the connection: the next request opens another."""
        self._connection.close()

    def _connect(self) -> HTTPConnection:
        kind = HTTPSConnection if self._parts.scheme == "https" else HTTPConnection
        return kind(self._parts.netloc, timeout=30)
