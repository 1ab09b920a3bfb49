"""The Student service over a real socket, by itself and behind the sidecar: one suite, the same verdicts."""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from lab import DEADLINE
from lab.stack.client import People
from lab.stack.services import Sidecar, StudentService
from lab.stack.system import Stack

PIECE = 64 * 1024
BOUNDARY = "a-line-no-file-holds"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Client:
    address: str
    people: People
    """Every change is the administrator's."""

    def open(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> HTTPResponse:
        sent = {"Connection": "close", **(headers or {})}
        if method not in ("GET", "HEAD", "OPTIONS"):
            sent["Authorization"] = f"Bearer {self.people.pass_of('admin')}"
        connection = HTTPConnection(self.address, timeout=DEADLINE)
        connection.request(method, path, body, sent)
        return connection.getresponse()

    def send(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        with self.open(method, path, body, headers) as response:
            lower = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, lower, response.read())

    def send_json(self, method: str, path: str, data: Any) -> Answer:
        return self.send(method, path, json.dumps(data), {"Content-Type": "application/json"})

    def upload(self, path: str, content: bytes, filename: str = "photo.jpg", field: str = "photo") -> Answer:
        disposition = f'Content-Disposition: form-data; name="{field}"; filename="{filename}"'
        body = (
            f"--{BOUNDARY}\r\n{disposition}\r\n\r\n".encode() + content + f"\r\n--{BOUNDARY}--\r\n".encode()
        )
        return self.send("PUT", path, body, {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"})


@pytest.fixture(scope="module")
def service() -> Iterator[StudentService]:
    with StudentService() as service:
        yield service


@pytest.fixture(scope="module")
def sidecar(system: Stack, service: StudentService, permissive_policy: Path) -> Iterator[Sidecar]:
    with Sidecar(system.user_service, service.url, {"AUTHZ_POLICY": str(permissive_policy)}) as sidecar:
        yield sidecar


@pytest.fixture(scope="module", params=["alone", "behind the sidecar"])
def client(
    request: pytest.FixtureRequest, service: StudentService, sidecar: Sidecar, people: People
) -> Client:
    """The administrator may do everything; the service by itself takes no notice of who it is."""
    front = service if request.param == "alone" else sidecar
    return Client(front.address, people)


def a_student(**fields: str) -> dict[str, str]:
    number = uuid4().hex
    student = {
        "name": "Grace Ito",
        "roll_number": number,
        "email": f"{number}@students.example",
        "date_of_birth": "2001-02-03",
        "status": "enrolled",
    }
    return student | fields


@pytest.fixture
def student(client: Client) -> str:
    """The path of a student that exists."""
    return f"/students/{client.send_json('POST', '/students/', a_student()).json['id']}/"


def test_a_student_is_created_read_changed_and_deleted(client: Client) -> None:
    fields = a_student()
    created = client.send_json("POST", "/students/", fields)
    assert created.status == 201
    assert created.json == fields | {"id": created.json["id"], "photo": None}
    path = f"/students/{created.json['id']}/"
    assert client.send("GET", path).json == created.json

    patched = client.send_json("PATCH", path, {"status": "graduated"})
    assert (patched.status, patched.json) == (200, created.json | {"status": "graduated"})
    other = a_student(name="Ada Gupta")
    replaced = client.send_json("PUT", path, other)
    assert (replaced.status, replaced.json) == (200, created.json | other)
    assert client.send("GET", path).json == replaced.json

    assert client.send("DELETE", path).status == 204
    assert client.send("GET", path).status == 404


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "x" * 201),
        ("roll_number", ""),
        ("roll_number", "x" * 33),
        ("email", "not an address"),
        ("date_of_birth", "2999-01-01"),
        ("date_of_birth", "2001-02-30"),
        ("status", "asleep"),
        ("status", None),
    ],
)
def test_a_field_that_cannot_be_is_named(client: Client, student: str, field: str, value: object) -> None:
    before = client.send("GET", student).json
    answer = client.send_json("PATCH", student, {field: value})
    assert (answer.status, list(answer.json)) == (400, [field])
    assert client.send("GET", student).json == before


def test_every_missing_field_is_named(client: Client) -> None:
    answer = client.send_json("POST", "/students/", {})
    assert (answer.status, set(answer.json)) == (400, {"name", "roll_number", "email", "date_of_birth"})


def test_a_roll_number_is_given_once(client: Client, student: str) -> None:
    taken = client.send("GET", student).json["roll_number"]
    answer = client.send_json("POST", "/students/", a_student(roll_number=taken))
    assert (answer.status, list(answer.json)) == (400, ["roll_number"])


@pytest.fixture(scope="module")
def three(client: Client) -> str:
    """A word that finds three students and no others."""
    word = uuid4().hex[:12]
    for suffix, born, status in (
        ("a", "2001-01-01", "enrolled"),
        ("b", "2003-01-01", "applicant"),
        ("c", "2002-01-01", "enrolled"),
    ):
        fields = a_student(roll_number=word + suffix, date_of_birth=born, status=status)
        assert client.send_json("POST", "/students/", fields).status == 201
    return word


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", "abc"),
        ("status=enrolled", "ac"),
        ("status__in=applicant,graduated", "b"),
        ("date_of_birth__gte=2002-01-01", "bc"),
        ("date_of_birth__lte=2002-01-01", "ac"),
        ("date_of_birth=2002-01-01", "c"),
        ("ordering=-roll_number", "cba"),
        ("ordering=date_of_birth", "acb"),
        ("ordering=-date_of_birth&status=enrolled", "ca"),
    ],
)
def test_students_are_searched_filtered_and_ordered(
    client: Client, three: str, query: str, found: str
) -> None:
    page = client.send("GET", f"/students/?search={three}&{query}").json
    assert [each["roll_number"].removeprefix(three) for each in page["results"]] == list(found)
    assert page["count"] == len(found)


def test_a_filter_that_cannot_be_is_refused(client: Client) -> None:
    answer = client.send("GET", "/students/?status=asleep")
    assert (answer.status, list(answer.json)) == (400, ["status"])


def test_pages_follow_each_other(client: Client, three: str) -> None:
    target, seen = f"/students/?search={three}&page_size=2", []
    while target:
        page = client.send("GET", target).json
        seen.append([each["roll_number"].removeprefix(three) for each in page["results"]])
        target = page["next"] and page["next"].removeprefix(f"http://{client.address}")
    assert seen == [["a", "b"], ["c"]]
    assert client.send("GET", f"/students/?search={three}&page_size=2&page=3").status == 404


def test_a_file_comes_back_byte_for_byte_as_a_stream(client: Client, student: str) -> None:
    content = random.Random(1).randbytes(5_000_000)  # noqa: S311 (any bytes will do)
    uploaded = client.upload(f"{student}photo/", content)
    assert (uploaded.status, uploaded.json["photo"]) == (200, f"{student}photo/")
    with client.open("GET", f"{student}photo/") as response:
        assert response.headers["Content-Length"] == str(len(content))
        pieces = list(iter(lambda: response.read(PIECE), b""))
    assert b"".join(pieces) == content


def test_a_new_file_replaces_the_old_one_and_can_be_deleted(client: Client, student: str) -> None:
    photo = f"{student}photo/"
    assert client.send("GET", photo).status == 404
    for content in (b"first", b"second"):
        assert client.upload(photo, content).status == 200
    assert client.send("GET", photo).body == b"second"
    assert client.send("DELETE", photo).status == 204
    assert client.send("GET", photo).status == 404
    assert client.send("GET", student).json["photo"] is None


def test_an_uploaded_page_is_not_shown_as_one(client: Client, student: str) -> None:
    client.upload(f"{student}photo/", b"<script>alert(1)</script>", "../../page.html")
    answer = client.send("GET", f"{student}photo/")
    assert answer.headers["content-disposition"].startswith("attachment;")
    assert ".." not in answer.headers["content-disposition"]
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_an_upload_needs_its_file(client: Client, student: str) -> None:
    answer = client.upload(f"{student}photo/", b"content", field="document")
    assert (answer.status, list(answer.json)) == (400, ["photo"])
    assert client.send_json("PUT", f"{student}photo/", {}).status == 415


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/students/0/", 404),
        ("GET", "/students/99999999999999999999/", 404),
        ("GET", "/students/word/", 404),
        ("GET", "/students", 301),
        ("PUT", "/students/", 405),
        ("POST", "/students/1/", 405),
        ("GET", "/admin/", 302),
        ("GET", "/livez", 200),
        ("GET", "/readyz", 200),
    ],
)
def test_other_paths(client: Client, method: str, path: str, status: int) -> None:
    assert client.send(method, path).status == status


def test_a_browser_is_shown_a_page(client: Client) -> None:
    page = client.send("GET", "/students/", headers={"Accept": "text/html"})
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert client.send("GET", "/static/rest_framework/css/default.css").status == 200
