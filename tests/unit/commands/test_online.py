"""`authz-sidecar check --online` and `--openapi` against servers that answer well, badly, or not at all."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from authz_sidecar import cli
from lab.stack.process import free_port

MESSAGES = Path(__file__).parents[2] / "contract" / "messages"
KEY = ec.generate_private_key(ec.SECP256R1()).public_key()
JWK = {**ECAlgorithm.to_jwk(KEY, as_dict=True), "kid": "1", "alg": "ES256"}
POLICY = """version: 1
rules:
  - {methods: [POST], path: /students/, permission: students.add_student}
  - {methods: [PUT], path: /students/, permission: {any: [students.ad_student, students.add_student]}}
"""
GOOD = {
    "/authz/v1/head": (200, (MESSAGES / "head.json").read_bytes()),
    "/authz/v1/permissions": (200, b'{"permissions":["students.add_student","students.ad_student"]}'),
    "/.well-known/jwks.json": (200, json.dumps({"keys": [JWK]}).encode()),
    "/openapi.json": (200, b'{"paths": {"/students/": {"post": {}}, "/teachers/": {"post": {}}}}'),
}
Answers = dict[str, tuple[int, bytes]]


class Server(ThreadingHTTPServer):
    answers: Answers
    seen: list[str]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.seen.append(f"{self.path} {self.headers['Authorization']}")
        status, body = self.server.answers.get(self.path, (404, b""))
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as served:
        served.answers, served.seen = dict(GOOD), []
        thread = threading.Thread(target=served.serve_forever)
        thread.start()
        yield served
        served.shutdown()
        thread.join()


def check(tmp_path: Path, port: int, *arguments: str) -> int:
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    return cli.main(
        [
            "check",
            "--upstream=http://127.0.0.1:8001",
            f"--user-service=http://127.0.0.1:{port}",
            "--service-token=the-token",
            "--jwt-issuer=issuer",
            "--jwt-audience=service",
            f"--policy={path}",
            *arguments,
        ]
    )


def test_nothing_is_asked_unless_it_is_wanted(server: Server, tmp_path: Path) -> None:
    assert check(tmp_path, server.server_port) == 0
    assert server.seen == []


def test_all_is_well(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(tmp_path, server.server_port, "--online") == 0
    assert capsys.readouterr().err == ""
    assert server.seen == [
        "/authz/v1/head Bearer the-token",
        "/authz/v1/permissions Bearer the-token",
        "/.well-known/jwks.json None",
    ]


ISSUER = "{issuer: 'https://%s', audiences: [x], subject: {user_field: %s}, keys: '%s'}"


@pytest.mark.parametrize(
    ("told", "named", "found"),
    [
        ('["pk", "email"]', ("pk", "email"), []),
        ('["pk"]', ("pk", "email"), ["b: the User service names its users by pk, not by email"]),
        ('["email"]', ("pk",), ["a: the User service names its users by email, not by pk"]),
        ("null", ("pk",), []),
        (
            "null",
            ("pk", "email"),
            [f"{each} the User service does not say whether it names its users by" for each in ("a:", "b:")],
        ),
    ],
)
def test_whether_users_are_named_as_issuers_name_them(
    server: Server,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    told: str,
    named: tuple[str, ...],
    found: list[str],
) -> None:
    head = json.loads(GOOD["/authz/v1/head"][1]) | {"subject_fields": json.loads(told)}
    server.answers["/authz/v1/head"] = (200, json.dumps(head).encode())
    keys = f"http://127.0.0.1:{server.server_port}/.well-known/jwks.json"
    issuers = [ISSUER % (name, field, keys) for name, field in zip("ab", named, strict=False)]
    (tmp_path / "issuers.yaml").write_text(f"version: 1\nissuers: [{', '.join(issuers)}]\n")
    arguments = ("--jwt-issuer=", "--jwt-audience=", f"--issuers-file={tmp_path / 'issuers.yaml'}")
    assert check(tmp_path, server.server_port, "--online", *arguments) == bool(found)
    told_of = capsys.readouterr().err.splitlines()
    assert len(told_of) == len(found)
    for line, wrong in zip(told_of, found, strict=True):
        assert line.startswith(f"found: AUTHZ_ISSUERS_FILE: https://{wrong}")
        assert line.endswith("its tokens are refused with 503 user_field_unknown [user_field]")


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"/authz/v1/head": (401, b"")}, "our service token is refused (401) [user_service]"),
        ({"/authz/v1/head": (500, b"")}, "status 500 [user_service]"),
        ({"/authz/v1/head": (200, b"{}")}, "[user_service]"),
        (
            {"/authz/v1/permissions": (200, b'{"permissions":["students.add_student"]}')},
            "policy.yaml:4: rules[1].path: the User service knows no permission students.ad_student: "
            "nobody holds it [unknown_permission]",
        ),
        ({"/.well-known/jwks.json": (404, b"")}, "jwks.json: answered 404 [keys]"),
        ({"/.well-known/jwks.json": (200, b"[]")}, "jwks.json: keys: expected a list [keys]"),
    ],
)
def test_what_is_not(
    server: Server,
    tmp_path: Path,
    changed: Answers,
    told: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server.answers.update(changed)
    assert check(tmp_path, server.server_port, "--online") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(told)
    assert "the-token" not in line


def test_keys_that_no_accepted_algorithm_can_use(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(tmp_path, server.server_port, "--online", "--jwt-algorithms=RS256") == 1
    assert "none of its keys is for RS256" in capsys.readouterr().err


def test_nobody_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(tmp_path, free_port(), "--online") == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line.rpartition(" ")[2] for line in lines] == ["[user_service]", "[keys]"]


def test_operations_without_a_rule(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"http://127.0.0.1:{server.server_port}/openapi.json"
    file = tmp_path / "api.json"
    file.write_bytes(GOOD["/openapi.json"][1])
    for place in (url, str(file)):
        assert check(tmp_path, server.server_port, f"--openapi={place}") == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line == (
            f"found: {place}: POST /teachers/ falls under no rule: it is refused, whoever asks "
            "[refused_operation]"
        )


def test_an_openapi_document_that_is_not_there(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for place in (str(tmp_path / "none.json"), f"http://127.0.0.1:{server.server_port}/none"):
        assert check(tmp_path, server.server_port, f"--openapi={place}") == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line.rpartition(": ")[2] for line in lines] == [
        "No such file or directory [openapi]",
        "answered 404 [openapi]",
    ]
