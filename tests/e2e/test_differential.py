"""The same requests to a Student service alone, one behind the sidecar and one behind the oracle.

All begin in the same state, and each request goes all three ways before the next one does, so that ids come
out alike too. What may differ stands in lab/oracle/differences.py.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from lab import DEADLINE, ROOT
from lab.oracle.differences import told, told_by_oracle
from lab.stack.client import People
from lab.stack.process import Process, wait_for
from lab.stack.services import Sidecar, StudentService
from lab.stack.system import Stack
from lab.wire.messages import Answer, ask


class Copy(StudentService):
    """Begins with another one's database."""

    def __init__(self, original: StudentService) -> None:
        super().__init__()
        self._original = original

    def prepare(self) -> None:
        shutil.copy(self._original.directory / "db.sqlite3", self.directory)


class Oracle(Sidecar):
    """The same program on plain aiohttp."""

    name = "oracle"

    def make_process(self) -> Process:
        argv = [sys.executable, "-m", "lab.oracle"]
        return Process(argv, env=self.env, cwd=ROOT, log_path=self.log_path)


@dataclass
class Ways:
    """Ports of the three ways, and the services at their ends."""

    ports: tuple[int, int, int]
    services: tuple[StudentService, ...]
    people: People


@pytest.fixture(scope="module")
def ways(system: Stack, people: People, permissive_policy: Path) -> Iterator[Ways]:
    with ExitStack() as exits:
        original = exits.enter_context(StudentService())
        copies = [exits.enter_context(Copy(original)) for _ in range(2)]
        env = {"AUTHZ_POLICY": str(permissive_policy)}
        engine = exits.enter_context(Sidecar(system.user_service, copies[0].url, env))
        oracle = exits.enter_context(Oracle(system.user_service, copies[1].url, env))
        ports = (original.port, engine.port, oracle.port)
        yield Ways(ports, (original, *copies), people)


def head(line: str, *fields: str) -> bytes:
    lines = (f"{line} HTTP/1.1", "Host: localhost", *fields, "\r\n")
    return "\r\n".join(lines).encode("latin-1")


JSON = "Content-Type: application/json"
HTML = "Accept: text/html"
FORM = "Content-Type: application/x-www-form-urlencoded"
CSRF = b"c" * 32
PARTS = "Content-Type: multipart/form-data; boundary=b0undary"
GRACE = {
    "name": "Grace Ito",
    "roll_number": "D-1",
    "email": "grace@example.org",
    "date_of_birth": "2001-02-03",
}


def sending(line: str, body: bytes, *fields: str) -> tuple[bytes, bytes]:
    return head(line, *fields, f"Content-Length: {len(body)}"), body


def in_json(line: str, data: object, *fields: str) -> tuple[bytes, bytes]:
    return sending(line, json.dumps(data).encode(), JSON, *fields)


def upload(line: str, content: bytes, disposition: str, *fields: str) -> tuple[bytes, bytes]:
    part = f"--b0undary\r\nContent-Disposition: form-data; {disposition}\r\n\r\n"
    return sending(line, part.encode() + content + b"\r\n--b0undary--\r\n", PARTS, *fields)


CSS = "/static/rest_framework/css/default.css"
PHOTO = bytes(range(256)) * 12_000
CHUNKS = b"%x\r\n%b\r\n0\r\nX-Sum: 1\r\n\r\n"
GRACE_IN_CHUNKS = CHUNKS % (len(json.dumps(GRACE)), json.dumps(GRACE).encode())

READS = (
    *("/students/", "/students/?search=a&page=1&status=applicant", "/students/?page=2000", "/students/1/"),
    *("/students/?status=asleep", "/students/?page_size=3&ordering=-roll_number", "/students/?format=json"),
    *("/students/?search=%C3%A9", "/students/?search=%ff%00", "/students/?a=%20b&c&&=", "/students/1/photo/"),
    *("/students/999999/", "/students/word/", "/students/99999999999999999999/", "/nothing/here?a=%20b&c"),
    *("/students", "/students?page=2", "/students?", "/students/%31/", "/students%2F1/", "/students//1/"),
    *("//students/", "/students/../livez", "/%2e/livez", "/students/1/;a=b", "/%00", "/%ff", "/%zz", "/*"),
    *("/students/1/?format=xyz", "/livez", "/readyz", "/admin", "/admin/", "/admin/login/", "/static/", CSS),
)

# Names are unique: they are the tests' ids. In this order.
REQUESTS: dict[str, tuple[bytes, bytes]] = {
    **{f"GET {target}": (head(f"GET {target}"), b"") for target in READS},
    **{f"page of {target}": (head(f"GET {target}", HTML), b"") for target in READS[:6]},
    **{
        f"HEAD {target}": (head(f"HEAD {target}"), b"")
        for target in ("/students/", "/students", "/nope", CSS)
    },
    **{
        f"OPTIONS {target}": (head(f"OPTIONS {target}"), b"")
        for target in ("/students/", "/students/1/", "/")
    },
    "OPTIONS *": (head("OPTIONS *"), b""),
    "another host": (head("GET /students/").replace(b"localhost", b"elsewhere.example"), b""),
    "HTTP/1.0": (head("GET /students/1/").replace(b"HTTP/1.1", b"HTTP/1.0"), b""),
    "the last of a connection": (head("GET /students/1/", "Connection: close"), b""),
    "what nobody speaks": (head("GET /students/", "Accept: image/png"), b""),
    "languages and encodings": (
        head("GET /admin/login/", "Accept-Language: de", "Accept-Encoding: gzip, br"),
        b"",
    ),
    "cookies": (head("GET /admin/", 'Cookie: a=1; sessionid=x; "b"=2', "Cookie: c=\xe9"), b""),
    "many fields": (head("GET /students/1/", *(f"X-{number}: y" for number in range(90))), b""),
    "a large field": (head("GET /students/1/", "X: " + "y" * 8000), b""),
    "a long target": (head("GET /students/?search=" + "a" * 4000), b""),
    "a target too long for the service": (head("GET /" + "a" * 5000), b""),
    "GET with a body": sending("GET /students/1/", b"abc"),
    "not modified": (head(f"GET {CSS}", "If-Modified-Since: Fri, 31 Dec 2100 00:00:00 GMT"), b""),
    "modified": (head(f"GET {CSS}", "If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT"), b""),
    "a range": (head(f"GET {CSS}", "Range: bytes=10-99"), b""),
    "the last bytes": (head(f"GET {CSS}", "Range: bytes=-5"), b""),
    "a range too far": (head(f"GET {CSS}", "Range: bytes=9999999-"), b""),
    "a range of HEAD": (head(f"HEAD {CSS}", "Range: bytes=10-99"), b""),
    "create": in_json("POST /students/", GRACE),
    "create again": in_json("POST /students/", GRACE),
    "create nothing": in_json("POST /students/", {}),
    "create from no body": (head("POST /students/", JSON), b""),
    "create from broken JSON": sending("POST /students/", b'{"name": ', JSON),
    "create from a type unknown": sending("POST /students/", b"<a/>", "Content-Type: text/xml"),
    "create from a form": sending(
        "POST /students/",
        b"name=%C3%89va&roll_number=D-2&email=e%40example.org&date_of_birth=2002-02-02",
        FORM,
    ),
    "create in a page": sending("POST /students/", b"name=&roll_number=D-1", FORM, HTML),
    "create after 100": in_json("POST /students/", GRACE | {"roll_number": "D-3"}, "Expect: 100-continue"),
    "create in chunks": (head("POST /students/", JSON, "Transfer-Encoding: chunked"), GRACE_IN_CHUNKS),
    "create one with a long name": in_json("POST /students/", GRACE | {"name": "n" * 300_000}),
    "change": in_json("PATCH /students/2/", {"name": "Éva \x07"}),
    "change into what cannot be": in_json("PATCH /students/2/", {"email": "nobody", "status": "asleep"}),
    "replace": in_json("PUT /students/3/", GRACE | {"roll_number": "D-4"}),
    "change what is not there": in_json("PATCH /students/999999/", {}),
    "delete": (head("DELETE /students/4/"), b""),
    "delete again": (head("DELETE /students/4/"), b""),
    "delete with a body": in_json("DELETE /students/5/", {"why": "not"}),
    "no such method here": in_json("PUT /students/", {}),
    "no such method there": in_json("POST /students/1/", {}),
    "no slash at the end": in_json("POST /students", GRACE),
    "upload": upload("PUT /students/1/photo/", PHOTO, 'name="photo"; filename="a.png"'),
    "download": (head("GET /students/1/photo/"), b""),
    "download a range": (head("GET /students/1/photo/", "Range: bytes=0-9"), b""),
    "size of the download": (head("HEAD /students/1/photo/"), b""),
    "upload after 100": upload(
        "PUT /students/2/photo/", b"small", 'name="photo"; filename="b"', "Expect: 100-continue"
    ),
    "upload another": upload("PUT /students/1/photo/", b"<script>", 'name="photo"; filename="../%.html"'),
    "download the other": (head("GET /students/1/photo/"), b""),
    "upload in a wrong field": upload("PUT /students/1/photo/", b"x", 'name="document"; filename="d"'),
    "upload of another type": in_json("PUT /students/1/photo/", {}),
    "delete the upload": (head("DELETE /students/1/photo/"), b""),
    "download what is gone": (head("GET /students/1/photo/"), b""),
    "a form from elsewhere": sending("POST /admin/login/", b"username=a", FORM),
    "a form of our own": sending(
        "POST /admin/login/",
        b"username=a&csrfmiddlewaretoken=" + CSRF,
        FORM,
        f"Cookie: csrftoken={CSRF.decode()}",
    ),
}

THE_ORACLE_CANNOT = {"OPTIONS *": "to aiohttp's client this is no URL"}


async def on_all_ways(ways: Ways, head: bytes, body: bytes) -> list[Answer]:
    first, end, rest = head.partition(b"\r\n")
    if first.split(b" ")[0] not in (b"GET", b"HEAD", b"OPTIONS"):
        first += b"\r\nAuthorization: Bearer " + ways.people.pass_of("admin").encode()
    return [await ask(port, first + end + rest, body) for port in ways.ports]


@pytest.mark.parametrize(
    ("name", "head", "body"), [(name, *sent) for name, sent in REQUESTS.items()], ids=REQUESTS.keys()
)
async def test_the_same_answer(ways: Ways, name: str, head: bytes, body: bytes) -> None:
    directly, engine, oracle = await on_all_ways(ways, head, body)
    assert told(engine) == told(directly)
    assert (told_by_oracle(oracle, directly) == told(directly)) is (name not in THE_ORACLE_CANNOT)


async def test_the_same_state_afterwards(ways: Ways) -> None:
    kept = [await ask(each.port, head("GET /students/?page_size=500")) for each in ways.services]
    assert kept[0].status == 200
    assert {answer.body for answer in kept} == {kept[0].body}
    files = [sorted(each.name for each in service.directory.glob("media/**/*")) for service in ways.services]
    assert files[0] == files[1] == files[2]


def gone(people: People) -> tuple[str, str]:
    """A token whose user was deactivated, and the revision that says so."""
    name = f"gone-{uuid4().hex}"
    user, token = people.new_user(name), people.token(name)
    return token, people.deactivate(user).headers["authz-revision"]


def of_nobody_any_more(people: People) -> str:
    token, revision = gone(people)
    return f"Bearer {token}\r\nAuthz-Min-Revision: {revision}"


def signed_by_nobody(people: People) -> str:
    header, payload, signature = people.pass_of("bob").split(".")
    return f"Bearer {header}.{payload}.{signature[::-1]}"


def not_signed(people: People) -> str:
    return f"Bearer eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0.{people.pass_of('bob').split('.')[1]}."


def of_the_far_future(people: People) -> str:
    epoch, number = gone(people)[1].split(".")
    return f"Bearer {people.pass_of('bob')}\r\nAuthz-Min-Revision: {epoch}.{int(number) + 1_000_000}"


def of_another_history(people: People) -> str:
    return f"Bearer {people.pass_of('bob')}\r\nAuthz-Min-Revision: 00000000.1"


def for_another_audience(people: People) -> str:
    return f"Bearer {people.pass_of('bob', audience='user-service')}"


# What is wrong with who asks: how its Authorization field is made, when the test needs it; and the answer.
REFUSED: dict[str, tuple[Callable[[People], str], int, str]] = {
    "reader": (lambda people: f"Bearer {people.pass_of('carol')}", 403, "permission_denied"),
    "nobody any more": (of_nobody_any_more, 401, "subject_inactive"),
    "other audience": (for_another_audience, 401, "token_invalid"),
    "other signature": (signed_by_nobody, 401, "token_invalid"),
    "no signature": (not_signed, 401, "token_invalid"),
    "no token": (lambda _: "Bearer \xe9", 401, "token_invalid"),
    "no word": (lambda _: "Bearer", 401, "token_invalid"),
    "far future": (of_the_far_future, 400, "revision_beyond_head"),
    "other history": (of_another_history, 412, "epoch_mismatch"),
}


@pytest.mark.parametrize(("credential", "status", "code"), REFUSED.values(), ids=REFUSED.keys())
async def test_the_same_refusal(
    ways: Ways, credential: Callable[[People], str], status: int, code: str
) -> None:
    request, body = in_json("PATCH /students/6/", {"name": "Mallory"}, "X-Request-Id: r1")
    authorization = f"\r\nAuthorization: {credential(ways.people)}\r\n"
    request = request.replace(b"\r\n", authorization.encode("latin-1"), 1)
    engine, oracle = [await ask(port, request, body) for port in ways.ports[1:]]
    assert told_by_oracle(oracle, engine) == told(engine)
    assert (engine.status, json.loads(engine.body)["code"]) == (status, code)


async def test_nothing_that_was_refused_has_reached_a_service(ways: Ways) -> None:
    for service in ways.services[1:]:
        await ask(service.port, head("GET /students/777777/"))
        last = "GET", "/students/777777/"
        wait_for(lambda service=service, last=last: service.requests()[last], DEADLINE, "the access log")
        assert not service.requests()["PATCH", "/students/6/"]
