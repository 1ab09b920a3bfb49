"""A client that speaks to the running system as a person's program would."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

from stack.process import StackError


@dataclass(frozen=True)
class Answer:
    """One HTTP answer, its header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def call(url: str, method: str = "GET", *, token: str = "", data: object = None, **headers: str) -> Answer:
    """One request on a connection of its own."""
    parts = urlsplit(url)
    sent = dict(headers)
    if token:
        sent["Authorization"] = f"Bearer {token}"
    body = data if isinstance(data, bytes) or data is None else json.dumps(data).encode()
    if body is not None:
        sent.setdefault("Content-Type", "application/json")
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    try:
        connection.request(method, parts.path + (f"?{parts.query}" if parts.query else ""), body, sent)
        response = connection.getresponse()
        names = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, names, response.read())
    finally:
        connection.close()


def _expect(answer: Answer, status: int) -> None:
    if answer.status != status:
        raise StackError(f"expected {status}, was answered {answer.status}: {answer.body!r}")


class People:
    """What people do at the User service."""

    def __init__(self, url: str, password: str) -> None:
        """`password`: the one that the demo's users, among them `admin`, share."""
        self._url = url
        self._password = password
        self._admin = self.token("admin", audience="user-service")

    def token(self, username: str, *, audience: str = "student-service", password: str = "") -> str:
        data = {"username": username, "password": password or self._password, "audience": audience}
        answer = call(f"{self._url}/api/token/", "POST", data=data)
        _expect(answer, 200)
        return str(answer.json()["access"])

    def api(self, path: str, method: str = "GET", data: object = None) -> Answer:
        """A call by the administrator."""
        return call(f"{self._url}/api/{path}", method, token=self._admin, data=data)

    def id_of(self, username: str) -> int:
        (user,) = self.api(f"users/?username={username}").json()["results"]
        return int(user["id"])

    def new_user(self, username: str) -> int:
        """A user without any permission, who has the same password as the demo's."""
        answer = self.api("users/", "POST", {"username": username, "password": self._password})
        _expect(answer, 201)
        return int(answer.json()["id"])

    def grant(self, user: int, label: str) -> Answer:
        return self.api(f"users/{user}/permissions/{label}/", "PUT")

    def revoke(self, user: int, label: str) -> Answer:
        return self.api(f"users/{user}/permissions/{label}/", "DELETE")
