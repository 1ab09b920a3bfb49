"""`authz-sidecar explain` against a running sidecar: why somebody may or may not, and what would help."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from lab import DEADLINE
from lab.stack.client import People
from lab.stack.services import Sidecar
from lab.stack.system import Stack

CHANGE = "students.change_student"
ADMIN_TOKEN = "the-admin-token"


@pytest.fixture(scope="module")
def sidecar(system: Stack) -> Iterator[Sidecar]:
    env = {
        "AUTHZ_REDIS_URL": system.sidecar.env["AUTHZ_REDIS_URL"],
        "AUTHZ_REDIS_PREFIX": system.sidecar.env["AUTHZ_REDIS_PREFIX"],
        "AUTHZ_ADMIN_TOKEN": ADMIN_TOKEN,
    }
    with Sidecar(system.user_service, system.student_service.url, env) as started:
        yield started


def explain(sidecar: Sidecar, *arguments: str, stdin: str = "") -> tuple[int, dict[str, Any]]:
    argv = [sys.executable, "-m", "authz_sidecar", "explain", "--json", *arguments]
    env = {
        "AUTHZ_ADMIN_TOKEN": ADMIN_TOKEN,
        "AUTHZ_ADMIN_LISTEN": sidecar.env["AUTHZ_ADMIN_LISTEN"],
    }
    done = subprocess.run(argv, env=env, input=stdin, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_what_is_missing_and_which_group_would_give_it(people: People, sidecar: Sidecar) -> None:
    user = people.new_user("explained")
    made = people.api("groups/", "POST", {"name": "editors of the explained"}).demand("a group", 201).json()
    group = made["id"]
    people.api(f"groups/{group}/permissions/{CHANGE}/", "PUT").demand("a grant", 200)
    token = people.token("explained")

    code, found = explain(sidecar, f"--subject={user}", "PATCH", "/students/3/")
    assert (code, found["code"], found["status"]) == (1, "permission_denied", 403)
    assert found["rule"]["rule"] == "PATCH /students/{id}/"
    (permission,) = found["permissions"]
    assert (permission["held"], found["all_groups_known"]) == (False, True)
    assert str(group) in permission["other_groups_with_it"]

    people.api(f"users/{user}/groups/{group}/", "PUT").demand("joining", 200)
    deadline = time.monotonic() + DEADLINE
    while code:  # the change takes effect within moments
        assert time.monotonic() < deadline, found
        code, found = explain(sidecar, "--token-stdin", "PATCH", "/students/3/", stdin=token)
    assert (found["code"], found["subject"]) == ("granted", str(user))
    assert found["permissions"][0]["through_groups"] == [str(group)]
    assert found["staleness"] < 30
    changed = found["last_change"]
    assert (changed["by"], changed["before"]) == ("admin over the API", "permission_denied")
    assert changed["text"].startswith("+ group editors of the explained for explained by admin over the API")
    assert token not in sidecar.log_path.read_text()


def test_a_forged_token_is_refused_as_a_request_with_it_would_be(people: People, sidecar: Sidecar) -> None:
    head, payload, _ = people.token("alice").split(".")
    code, found = explain(sidecar, "--token-stdin", "PATCH", "/students/3/", stdin=f"{head}.{payload}.AAAA\n")
    assert (code, found["code"], found["subject"]) == (1, "token_invalid", None)
