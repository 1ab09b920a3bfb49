"""A client that speaks to the running system as a person's program would."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

from lab import DEADLINE
from lab.stack.process import StackError

KEPT_SECONDS = 60.0
"""How long a token is used again: a fifth of its life, so that a slow program does not outlive it either."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer, its header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes
    milliseconds: float
    received_at: float
    """`time.perf_counter()` when the whole answer had been read."""

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The stable code of the sidecar's refusals; empty in all other answers."""
        refused = self.headers.get("content-type") == "application/problem+json"
        return str(self.json().get("code", "")) if refused else ""

    def demand(self, what: str, *statuses: int) -> Answer:
        """Itself, if it has one of these statuses. Raises StackError."""
        if self.status in statuses:
            return self
        wanted, body = " or ".join(map(str, statuses)), self.body[:500].decode(errors="replace")
        raise StackError(f"{what}: expected {wanted}, was answered {self.status}: {body}")


class Client:
    """Sends to one server, over a connection that is kept."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._base = parts.path.rstrip("/")
        self._connection = kind(parts.netloc, timeout=DEADLINE)

    def send(
        self,
        method: str,
        path: str,
        *,
        token: str = "",
        data: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """`data`: bytes as they are, anything else as JSON."""
        sent = dict(headers or {})
        if token:
            sent["Authorization"] = f"Bearer {token}"
        body = data if isinstance(data, bytes) or data is None else json.dumps(data).encode()
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
        started = time.perf_counter()
        self._connection.request(method, self._base + path, body, sent)
        response = self._connection.getresponse()
        received = response.read()
        ended = time.perf_counter()
        names = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, names, received, (ended - started) * 1000, ended)

    def close(self) -> None:
        """The next request opens another connection."""
        self._connection.close()


def call(url: str, method: str = "GET", *, token: str = "", data: object = None, **headers: str) -> Answer:
    """One request on a connection of its own."""
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    with closing(Client(f"{parts.scheme}://{parts.netloc}")) as client:
        return client.send(method, target, token=token, data=data, headers=headers)


class People:
    """What people do at the User service."""

    def __init__(self, url: str, password: str) -> None:
        """`password`: the one that the demo's users, among them `admin`, share."""
        self._url = url
        self._password = password
        self._kept: dict[tuple[str, str], tuple[str, float]] = {}

    def token(self, username: str, *, audience: str = "student-service", password: str = "") -> str:
        data = {"username": username, "password": password or self._password, "audience": audience}
        answer = call(f"{self._url}/api/token/", "POST", data=data)
        return str(answer.demand(f"signing in as {username}", 200).json()["access"])

    def pass_of(self, username: str, *, audience: str = "student-service") -> str:
        """A token that is good for minutes from now. It is kept: to sign in costs a hash of the password."""
        token, until = self._kept.get((username, audience), ("", 0.0))
        if time.monotonic() >= until:
            until = time.monotonic() + KEPT_SECONDS
            token = self.token(username, audience=audience)
            self._kept[username, audience] = (token, until)
        return token

    def api(self, path: str, method: str = "GET", data: object = None) -> Answer:
        """A call by the administrator."""
        return call(
            f"{self._url}/api/{path}", method, token=self.pass_of("admin", audience="user-service"), data=data
        )

    def id_of(self, username: str) -> int:
        listed = self.api(f"users/?username={username}").demand(f"looking for {username}", 200).json()
        if not listed["results"]:
            raise StackError(f"there is no user {username}; `manage.py seed_demo` makes the demo's users")
        return int(listed["results"][0]["id"])

    def new_user(self, username: str) -> int:
        """A user without any permission, who has the same password as the demo's."""
        answer = self.api("users/", "POST", {"username": username, "password": self._password})
        return int(answer.demand(f"creating {username}", 201).json()["id"])

    def grant(self, user: int, label: str) -> Answer:
        return self.api(f"users/{user}/permissions/{label}/", "PUT")

    def revoke(self, user: int, label: str) -> Answer:
        return self.api(f"users/{user}/permissions/{label}/", "DELETE")

    def activate(self, user: int) -> Answer:
        return self.api(f"users/{user}/activate/", "POST")

    def deactivate(self, user: int) -> Answer:
        return self.api(f"users/{user}/deactivate/", "POST")
