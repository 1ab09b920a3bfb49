"""Each thing the system was asked to do, on real parts."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
import redis

from lab import DEADLINE
from lab.stack.client import Answer, People, call
from lab.stack.system import Stack

ADD = "students.add_student"

_numbers = iter(range(1_000_000))


def new_student() -> dict[str, str]:
    number = f"E2E-{time.monotonic_ns()}-{next(_numbers)}"
    return {
        "name": "Ada Lovelace",
        "roll_number": number,
        "email": f"{number.lower()}@example.org",
        "date_of_birth": "2004-12-10",
    }


def eventually(attempt: Callable[[], Answer], status: int) -> Answer:
    """The first answer with this status; the changes take effect within moments."""
    deadline = time.monotonic() + DEADLINE
    while (answer := attempt()).status != status:
        assert time.monotonic() < deadline, answer
    return answer


def test_create_and_list_users(people: People) -> None:
    user = people.new_user("grace")
    listed = people.api("users/?search=grace").json()
    assert [row["id"] for row in listed["results"]] == [user]
    assert "password" not in json.dumps(listed)


def test_change_and_read_a_users_permissions(people: People) -> None:
    user = people.new_user("edsger")
    assert people.api(f"users/{user}/permissions/").json()["effective"] == []
    granted = people.grant(user, ADD)
    assert granted.status == 200
    assert people.api(f"users/{user}/permissions/").json()["direct"] == [ADD]
    revoked = people.revoke(user, ADD)
    assert people.api(f"users/{user}/permissions/").json()["effective"] == []
    before, after = (answer.headers["authz-revision"].split(".") for answer in (granted, revoked))
    assert before[0] == after[0]
    assert int(after[1]) > int(before[1])


def test_only_administrators_change_permissions(system: Stack, people: People) -> None:
    user = people.new_user("mallory")
    token = people.token("mallory", audience="user-service")
    url = f"{system.user_service.url}/api/users/{user}/permissions/"
    assert call(url, token=token).status == 200
    assert call(f"{url}{ADD}/", "PUT", token=token).status == 403
    other_audience = people.token("admin")
    assert call(f"{url}{ADD}/", "PUT", token=other_audience).status == 401


def test_list_students_needs_no_token(system: Stack) -> None:
    answer = call(f"{system.sidecar.url}/students/")
    assert answer.status == 200
    assert answer.json()["count"] > 0


def posts(system: Stack) -> int:
    return sum(count for (method, _), count in system.student_service.requests().items() if method == "POST")


def create(system: Stack, token: str = "") -> Answer:
    return call(f"{system.sidecar.url}/students/", "POST", token=token, data=new_student())


def test_event_fed_validation(system: Stack, people: People) -> None:
    """Refused, granted, revoked: and a refusal reaches nobody."""
    user = people.new_user("barbara")
    token = people.token("barbara")
    before = posts(system)
    anonymous, denied = create(system), create(system, token)
    assert (anonymous.status, anonymous.json()["code"]) == (401, "token_missing")
    assert (denied.status, denied.json()["code"]) == (403, "permission_denied")
    assert posts(system) == before

    people.grant(user, ADD)
    created = eventually(lambda: create(system, token), 201)
    assert call(f"{system.student_service.url}/students/{created.json()['id']}/").status == 200

    people.revoke(user, ADD)
    assert eventually(lambda: create(system, token), 403).json()["code"] == "permission_denied"


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/admin/login/"), ("DELETE", "/students/"), ("POST", "/students"), ("PUT", "/")],
)
def test_what_no_rule_allows_reaches_nobody(system: Stack, people: People, method: str, path: str) -> None:
    """Not even an administrator's change."""
    before = system.student_service.requests()
    refused = call(f"{system.sidecar.url}{path}", method, token=people.token("admin"), data={})
    assert (refused.status, refused.json()["code"]) == (403, "no_rule")
    assert system.student_service.requests()[method, path] == before[method, path]


@pytest.mark.parametrize(
    ("action", "code"), [("deactivate", "subject_inactive"), ("sign-out-everywhere", "token_revoked")]
)
def test_a_token_that_is_still_valid_dies(system: Stack, people: People, action: str, code: str) -> None:
    user = people.new_user(action)
    people.grant(user, ADD)
    token = people.token(action)
    eventually(lambda: create(system, token), 201)
    people.api(f"users/{user}/{action}/", "POST")
    assert eventually(lambda: create(system, token), 401).json()["code"] == code


def test_a_change_that_a_token_has_seen_is_never_overlooked(system: Stack, people: People) -> None:
    """The revision in the token makes the sidecar catch up: no waiting, no retry."""
    user = people.new_user("tony")
    people.grant(user, ADD)
    assert create(system, people.token("tony")).status == 201


def test_a_revocation_holds_for_who_names_its_revision(system: Stack, people: People) -> None:
    user = people.new_user("ken")
    people.grant(user, ADD)
    token = people.token("ken")
    assert create(system, token).status == 201
    revision = people.revoke(user, ADD).headers["authz-revision"]
    url = f"{system.sidecar.url}/students/"
    refused = call(url, "POST", token=token, data=new_student(), **{"Authz-Min-Revision": revision})
    assert (refused.status, refused.json()["code"]) == (403, "permission_denied")


def test_decisions_go_on_without_the_user_service(system: Stack, people: People) -> None:
    people.grant(people.new_user("radia"), ADD)
    token = people.token("radia")
    assert create(system, token).status == 201
    system.user_service.stop()
    try:
        assert create(system, token).status == 201
    finally:
        system.user_service.start()


def test_redis_holds_the_replica(system: Stack, people: People) -> None:
    """What the sidecar decides by is in Redis, at the revision it says."""
    user = people.new_user("leslie")
    revision = people.grant(user, ADD).headers["authz-revision"]
    env = system.sidecar.env
    with redis.Redis.from_url(env["AUTHZ_REDIS_URL"], decode_responses=True) as client:
        prefix = f"{{{env['AUTHZ_REDIS_PREFIX']}}}:v2"
        deadline = time.monotonic() + DEADLINE
        while True:
            generation = client.get(f"{prefix}:current")
            copy = client.hgetall(f"{prefix}:gen:{generation}")
            if int(copy["@revision"]) >= int(revision.split(".")[1]):
                break
            assert time.monotonic() < deadline, copy
    assert ADD in copy[f"u:{user}"]
    assert copy["@epoch"].startswith(revision.split(".")[0])


def test_changes_come_from_the_broker(system: Stack, people: People) -> None:
    """RabbitMQ brings every change: the feed is asked for none of them."""
    status = call(f"{system.sidecar.admin_url}/status").json()["replica"]
    assert (status["phase"], status["source"]) == ("live", "broker")
    assert status["dependencies"] == {"user_service": True, "store": True, "broker": True}
    user = people.new_user("whitfield")
    revision = int(people.grant(user, ADD).headers["authz-revision"].split(".")[1])
    deadline = time.monotonic() + DEADLINE
    while call(f"{system.sidecar.admin_url}/status").json()["replica"]["applied"] < revision:
        assert time.monotonic() < deadline
    metrics = call(f"{system.sidecar.admin_url}/metrics").body.decode()
    assert "authz_propagation_seconds_count" in metrics


def test_request_based_validation(system: Stack, people: People) -> None:
    """One call to the User service for each change, and the same answers."""
    sidecar = system.add_sidecar({"AUTHZ_VALIDATION": "request"})
    user = people.new_user("alonzo")
    token = people.token("alonzo")

    def attempt() -> Answer:
        return call(f"{sidecar.url}/students/", "POST", token=token, data=new_student())

    assert attempt().status == 403
    people.grant(user, ADD)
    assert [attempt().status for _ in range(3)] == [201, 201, 201]
    people.revoke(user, ADD)
    assert attempt().status == 403
    metrics = call(f"{sidecar.admin_url}/metrics").body.decode()
    assert 'authz_user_service_calls_total{class="2xx",endpoint="check"} 5.0' in metrics


def test_no_log_holds_a_credential(system: Stack, people: People) -> None:
    """Neither a token, good or bad, nor a password, nor a service's credential."""
    people.grant(people.new_user("evil"), ADD)
    good, bad = people.token("evil"), "eyJhbGciOiJub25lIn0.e30.c2VjcmV0"
    assert create(system, good).status == 201
    assert create(system, bad).status == 401
    assert call(f"{system.sidecar.url}/students/?token={bad}").status == 200
    services = (system.sidecar, system.user_service, system.relay, system.student_service)
    logs = "".join(service.log_path.read_text() for service in services if service)
    assert '"type": "decision"' in logs
    secrets = (good, bad, good.split(".")[2], system.user_service.password, system.user_service.service_token)
    urls = (system.sidecar.env["AUTHZ_REDIS_URL"], system.sidecar.env["AUTHZ_AMQP_URL"])
    passwords = [url.split("@")[0].split(":")[-1] for url in urls]
    for secret in (*secrets, *passwords):
        assert secret not in logs


def test_a_revocation_ends_an_upload_that_is_under_way(system: Stack, people: People) -> None:
    user = people.new_user("slow")
    people.grant(user, ADD)
    token, parts = people.token("slow"), urlsplit(system.sidecar.url)
    assert create(system, token).status == 201
    head = (
        f"POST /students/ HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
        "Content-Type: application/json\r\nContent-Length: 9\r\n\r\n"
    )
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=DEADLINE) as connection:
        connection.sendall(head.encode() + b"{")
        people.revoke(user, ADD)
        answer = b""
        while data := connection.recv(65536):
            answer += data
    assert answer.startswith(b"HTTP/1.1 403 Forbidden\r\n")
    assert b'"code": "permission_denied"' in answer
