"""The student whom the walk-through adds and changes, through a sidecar."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from lab.stack.client import Answer, Client


class DemoStudent:
    def __init__(self, sidecar: Client) -> None:
        self._sidecar = sidecar
        self._record = {
            "name": "Grace Demo",
            "roll_number": f"DEMO-{secrets.token_hex(3)}",
            "email": "grace@students.example",
            "date_of_birth": "2001-12-09",
        }
        self.path = ""
        """Where it is, once it exists."""

    def create(self, token: str = "", headers: Mapping[str, str] | None = None) -> Answer:
        """Made again, it is the Student service that refuses, with 400: the number is taken."""
        answer = self._sidecar.send("POST", "/students/", token=token, data=self._record, headers=headers)
        if answer.status == 201:
            self.path = f"/students/{answer.json()['id']}/"
        return answer

    def enrol(self, token: str, through: Client | None = None) -> Answer:
        return (through or self._sidecar).send("PATCH", self.path, token=token, data={"status": "enrolled"})

    def delete(self, token: str) -> Answer:
        return self._sidecar.send("DELETE", self.path, token=token)
