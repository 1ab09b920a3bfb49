"""What can be done to the running system: sign in, grant, revoke, change students."""

from __future__ import annotations

import json
import secrets
import time
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from functools import cached_property

from walkthrough.client import Answer, Client

PERMISSION = "students.add_student"
PEOPLE, STUDENTS = "user-service", "student-service"
"""Audiences: whom a token is meant for."""


class Surprise(Exception):
    """The system did not answer as promised."""


def demand(answer: Answer, what: str, *statuses: int) -> Answer:
    """The answer, if it is one of those. Raises Surprise."""
    if answer.status in statuses:
        return answer
    text = answer.body.decode(errors="replace")[:500]
    raise Surprise(f"{what}: expected {' or '.join(map(str, statuses))}, got {answer.status}: {text}")


def seconds_left(token: str) -> float:
    """Until a token expires by its own account."""
    payload = token.split(".")[1]
    claims = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return float(claims["exp"]) - time.time()


class World:
    """Two services seen from outside, the administrator who rules them, and one new student."""

    def __init__(self, user_url: str, sidecar_url: str, password: str) -> None:
        self.users = Client(user_url)
        self.students = Client(sidecar_url)
        self._password = password
        self.student = {
            "name": "Grace Demo",
            "roll_number": f"DEMO-{secrets.token_hex(3)}",
            "email": "grace@students.example",
            "date_of_birth": "2001-12-09",
        }

    def sign_in(self, username: str, audience: str = STUDENTS) -> str:
        body = {"username": username, "password": self._password, "audience": audience}
        answer = self.users.send("POST", "/api/token/", body=body)
        return str(demand(answer, f"signing in as {username}", 200).json["access"])

    @cached_property
    def _admin(self) -> str:
        return self.sign_in("admin", PEOPLE)

    @cached_property
    def alice_path(self) -> str:
        answer = self.users.send("GET", "/api/users/?username=alice", token=self._admin)
        found = demand(answer, "looking for alice", 200).json["results"]
        if not found:
            raise Surprise("there is no user alice; `manage.py seed_demo` makes the demo's users")
        return f"/api/users/{found[0]['id']}/"

    @property
    def permission_path(self) -> str:
        return f"{self.alice_path}permissions/{PERMISSION}/"

    def grant(self) -> Answer:
        answer = self.users.send("PUT", self.permission_path, token=self._admin)
        return demand(answer, f"granting {PERMISSION}", 200)

    def revoke(self) -> Answer:
        answer = self.users.send("DELETE", self.permission_path, token=self._admin)
        return demand(answer, f"revoking {PERMISSION}", 204)

    def deactivate(self) -> Answer:
        answer = self.users.send("POST", f"{self.alice_path}deactivate/", token=self._admin)
        return demand(answer, "deactivating alice", 200)

    def reset_alice(self) -> None:
        """As she was in the beginning: she may sign in, and has no permission."""
        answer = self.users.send("POST", f"{self.alice_path}activate/", token=self._admin)
        demand(answer, "activating alice", 200)
        self.revoke()

    def create_student(self, token: str | None, headers: Mapping[str, str] | None = None) -> Answer:
        """The same student every time: a second one is refused by the Student service, with 400."""
        return self.students.send("POST", "/students/", token=token, body=self.student, headers=headers)

    def enrol(self, student_path: str, token: str, through: Client | None = None) -> Answer:
        body = {"status": "enrolled"}
        return (through or self.students).send("PATCH", student_path, token=token, body=body)

    def delete_student(self, student_path: str) -> None:
        answer = self.students.send("DELETE", student_path, token=self.sign_in("admin"))
        demand(answer, "deleting the demo's student", 204)
