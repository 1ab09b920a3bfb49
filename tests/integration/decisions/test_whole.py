"""AuthZEN at the decisions port of a whole, running sidecar: real grants, and one that knows nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from lab import DEADLINE
from lab.stack.alone import Alone
from lab.stack.client import People, call
from lab.stack.process import free_port, wait_for
from lab.stack.services import Sidecar
from lab.stack.system import Stack

TOKEN = "leave-to-ask"
POLICY = """
version: 1
rules: []
authzen:
  student:
    read: students.view_student
    add: students.add_student
    mend: {all: [students.view_student, students.change_student]}
    touch: {any: [students.change_student, students.delete_student]}
"""
ONE, SEVERAL = "/access/v1/evaluation", "/access/v1/evaluations"
SEMANTICS = ("execute_all", "deny_on_first_deny", "permit_on_first_permit")
Question = dict[str, Any]


def settings(directory: Path, port: int) -> dict[str, str]:
    """Without `AUTHZ_`."""
    policy = directory / "authzen.yaml"
    policy.write_text(POLICY)
    url = f"http://127.0.0.1:{port}"
    return {
        "POLICY": str(policy),
        "DECISIONS_LISTEN": url.removeprefix("http://"),
        "DECISIONS_TOKEN": TOKEN,
        "DECISIONS_URL": url,
    }


class Door(NamedTuple):
    url: str
    sidecar: Sidecar
    ids: Mapping[str, str]
    """What the User service calls its users."""

    def question(self, who: str, action: str, kind: str = "student") -> Question:
        subject = {"type": "user", "id": self.ids.get(who, who)}
        return {"subject": subject, "action": {"name": action}, "resource": {"type": kind, "id": "1"}}

    def decide(self, who: str, action: str, kind: str = "student") -> dict[str, Any]:
        answer = call(self.url + ONE, "POST", token=TOKEN, data=self.question(who, action, kind))
        return dict(answer.demand("a decision", 200).json())


@pytest.fixture(scope="module")
def door(system: Stack, people: People, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    port = free_port()
    env = {f"AUTHZ_{name}": value for name, value in settings(tmp_path_factory.mktemp("p"), port).items()}
    ids = {name: str(people.id_of(name)) for name in ("admin", "alice", "bob", "carol")}
    with Sidecar(system.user_service, system.student_service.url, env) as sidecar:
        yield Door(f"http://127.0.0.1:{port}", sidecar, ids)


# bob may add and change, carol may view, alice nothing, and admin is a superuser.
DECISIONS = {
    ("carol", "read"): (True, "granted"),
    ("carol", "add"): (False, "permission_denied"),
    ("carol", "mend"): (False, "permission_denied"),
    ("bob", "add"): (True, "granted"),
    ("bob", "touch"): (True, "granted"),
    ("bob", "mend"): (False, "permission_denied"),
    ("alice", "read"): (False, "permission_denied"),
    ("admin", "mend"): (True, "superuser"),
    ("4294967296", "read"): (False, "subject_unknown"),
    ("admin", "burn"): (False, "no_rule"),
}


def test_each_decision_is_what_the_user_service_has(door: Door) -> None:
    for (who, action), (decision, code) in DECISIONS.items():
        told = door.decide(who, action)
        assert (told["decision"], told["context"]["code"]) == (decision, code), (who, action)
        if code != "no_rule":
            assert told["context"]["age"] >= 0
            assert "." in told["context"]["revision"]
    assert door.decide("admin", "read", kind="car")["context"]["code"] == "no_rule"


BATCH = (("carol", "read"), ("carol", "add"), ("bob", "add"), ("alice", "read"))
ANSWERED = {
    "execute_all": [True, False, True, False],
    "deny_on_first_deny": [True, False],
    "permit_on_first_permit": [True],
}


@pytest.mark.parametrize(("semantic", "wanted"), ANSWERED.items())
def test_several_at_once(door: Door, semantic: str, wanted: list[bool]) -> None:
    questions = [door.question(who, action) for who, action in BATCH]
    body = {"evaluations": questions, "options": {"evaluations_semantic": semantic}}
    answer = call(door.url + SEVERAL, "POST", token=TOKEN, data=body).demand("a batch", 200)
    assert [each["decision"] for each in answer.json()["evaluations"]] == wanted


def test_a_grant_and_its_end_are_told(door: Door, people: People) -> None:
    user = people.new_user("authzen")

    def code() -> object:
        return door.decide(str(user), "read")["context"]["code"]

    wait_for(lambda: code() == "permission_denied", DEADLINE, "the user")
    people.grant(user, "students.view_student").demand("the grant", 200, 204)
    wait_for(lambda: code() == "granted", DEADLINE, "the grant")
    people.deactivate(user).demand("the deactivation", 200, 204)
    wait_for(lambda: code() == "subject_inactive", DEADLINE, "the deactivation")


def test_who_may_ask_and_where(door: Door) -> None:
    question = door.question("admin", "read")
    for token in ("", "wrong", door.sidecar.env["AUTHZ_SERVICE_TOKEN"]):
        assert call(door.url + ONE, "POST", token=token, data=question).code == "credential_missing"
    assert call(door.sidecar.url + ONE, "POST", token=TOKEN, data=question).code == "no_rule"
    told = call(f"{door.url}/.well-known/authzen-configuration").demand("the metadata", 200).json()
    assert told["access_evaluations_endpoint"] == door.url + SEVERAL
    assert call(told["access_evaluation_endpoint"], "POST", token=TOKEN, data=question).status == 200


@pytest.fixture
def ignorant(tmp_path: Path) -> Iterator[str]:
    """The decisions port of a sidecar that has never reached its User service."""
    port = free_port()
    program = Alone("http://127.0.0.1:1", tmp_path, **settings(tmp_path, port))
    program.ready()
    yield f"http://127.0.0.1:{port}"
    program.process.stop()


def test_what_is_not_known_is_known_of_no_question(ignorant: str, door: Door) -> None:
    """Not even of those before it, whose answer needs no knowledge; `false` would mean denied."""
    unknown, named = door.question("carol", "read"), door.question("carol", "burn")
    answer = call(ignorant + ONE, "POST", token=TOKEN, data=unknown)
    assert (answer.status, answer.code, answer.headers["retry-after"]) == (503, "not_ready", "1")
    for semantic in SEMANTICS:
        first = [] if semantic == "deny_on_first_deny" else [named]
        body = {"evaluations": [*first, unknown, named], "options": {"evaluations_semantic": semantic}}
        answer = call(ignorant + SEVERAL, "POST", token=TOKEN, data=body)
        assert (answer.status, answer.code) == (503, "not_ready")
        assert b"decision" not in answer.body
    assert call(ignorant + ONE, "POST", token=TOKEN, data=named).json()["decision"] is False
