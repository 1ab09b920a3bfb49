"""Four real gateways, configured by their pages in docs/gateways/, decide alike over one table."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple, cast

import pytest

from lab import DEADLINE
from lab.stack.client import People
from lab.stack.gateways import GATEWAYS, Envoy, Gateway
from lab.stack.process import free_port, wait_for
from lab.stack.services import Sidecar
from lab.stack.system import Stack

PATH = "/students/1/"
CHANGE = "students.change_student"
UPLOAD = b"u" * 2_000_000
TOLD = ("X-Authz-Subject", "X-Authz-Name", "X-Authz-Revision")
HANDSHAKE = (
    "Upgrade: websocket",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version: 13",
)


class Row(NamedTuple):
    """A request as it is sent, the statuses that are right, and whether the service may see it."""

    method: str
    path: str
    who: str
    right: set[int]
    lines: tuple[str, ...] = ()
    body: bytes = b"{}"
    chunked: bool = False

    @property
    def passes(self) -> bool:
        return 200 in self.right

    def sent(self, tokens: dict[str, str]) -> bytes:
        lines = [f"{self.method} {self.path} HTTP/1.1", "Host: 127.0.0.1", *self.lines]
        if not any(line.startswith("Connection:") for line in lines):
            lines.append("Connection: close")
        if self.who:
            lines.append(f"Authorization: Bearer {tokens.get(self.who, self.who)}")
        if self.method in {"GET", "OPTIONS"}:
            return "\r\n".join([*lines, "", ""]).encode()
        lines.append("Transfer-Encoding: chunked" if self.chunked else f"Content-Length: {len(self.body)}")
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(self.body), self.body) if self.chunked else self.body
        return "\r\n".join([*lines, "", ""]).encode() + body


# Bob may change and add, alice nothing; dana was allowed and is no more. Where a gateway drops or overwrites
# what another passes on, both answers are right; what is never right is 200.
ROWS = {
    "a read": Row("GET", PATH, "", {200}),
    "a read with a token": Row("GET", PATH, "bob", {200}),
    "a read with a query": Row("GET", "/students/?search=a%20b", "", {200}),
    "anonymous": Row("PATCH", PATH, "", {401}),
    "anonymous, creating": Row("POST", "/students/", "", {401}),
    "anonymous, deleting": Row("DELETE", PATH, "", {401}),
    "no token at all": Row("PATCH", PATH, "nonsense", {401}),
    "forbidden": Row("PATCH", PATH, "alice", {403}),
    "forbidden by no rule": Row("POST", "/teachers/", "bob", {403}),
    "forbidden, deleting": Row("DELETE", PATH, "bob", {403}),
    "revoked a moment ago": Row("PATCH", PATH, "dana", {403}, ("Authz-Min-Revision: <revoked>",)),
    "allowed": Row("PATCH", PATH, "bob", {200}),
    "allowed, creating": Row("POST", "/students/", "bob", {200}),
    "allowed, with a query": Row("PATCH", f"{PATH}?a=b", "bob", {200}),
    "a target with dots": Row("PATCH", "/students/%2e%2e/1/", "bob", {400, 403}),
    "a target with an encoded slash": Row("PATCH", "/students%2f1/", "bob", {400, 403}),
    "a target with parameters": Row("PATCH", "/students/1;a=b/", "bob", {400}),
    "an upload, refused": Row("PUT", f"{PATH}photo/", "", {401}, body=UPLOAD),
    "an upload of unknown length, refused": Row("PUT", f"{PATH}photo/", "", {401}, body=UPLOAD, chunked=True),
    "an upload, allowed": Row("PUT", f"{PATH}photo/", "bob", {200}, body=UPLOAD),
    # hostile
    "its own method": Row("PATCH", PATH, "", {401}, ("X-Forwarded-Method: GET",)),
    "its own method, underscores": Row("PATCH", PATH, "", {400, 401}, ("X_Forwarded_Method: GET",)),
    "its own URI": Row("PATCH", PATH, "", {401}, ("X-Forwarded-Uri: /open/",)),
    "its own URI, underscores": Row("PATCH", PATH, "", {400, 401}, ("X_Forwarded_Uri: /open/",)),
    "its own method, doubled": Row("PATCH", PATH, "", {400, 401}, ("X-Forwarded-Method: GET",) * 2),
    "its own method in both spellings": Row(
        "PATCH", PATH, "", {400, 401}, ("X-Forwarded-Method: GET", "X.Forwarded.Method: GET")
    ),
    "a method by another name": Row("PATCH", PATH, "", {400, 401}, ("X-Original-Method: GET",)),
    "Connection names what the gateway sets": Row(
        "PATCH", PATH, "", {400, 401}, ("Connection: close, X-Forwarded-Method, X-Forwarded-Uri",)
    ),
    "a method override": Row("POST", "/students/", "bob", {400}, ("X-HTTP-Method-Override: DELETE",)),
    "a WebSocket without a rule": Row("GET", "/socket/", "", {403}, ("Connection: Upgrade", *HANDSHAKE)),
}


class Service:
    """Says 200 to everything and remembers what it was sent."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, int]] = []
        """Method, path, and how long the body was."""
        self.told: list[list[str]] = []
        """What the latest requests said of who asks."""
        seen, told = self.seen, self.told

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                told.append([value for name in TOLD for value in self.headers.get_all(name, [])])
                seen.append((self.command, self.path, len(self.rfile.read(length))))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815 (the library's names)

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server.server_port}"


class Asked(NamedTuple):
    """A sidecar and its decisions port."""

    sidecar: Sidecar
    decisions: str


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    service = Service()
    yield service
    service.server.shutdown()
    service.server.server_close()


@pytest.fixture(scope="module")
def asked(system: Stack, service: Service) -> Iterator[dict[str, Asked]]:
    """A sidecar for each of the two sources."""
    with ExitStack() as exits:
        found = {}
        for source in {each.source for each in GATEWAYS}:
            address = f"127.0.0.1:{free_port()}"
            env = {"AUTHZ_DECISIONS_LISTEN": address, "AUTHZ_DECISIONS_SOURCE": source}
            env["AUTHZ_IDENTITY"] = "subject,name,revision"
            sidecar = exits.enter_context(Sidecar(system.user_service, f"http://{service.address}", env))
            found[source] = Asked(sidecar, address)
        yield found


def available(gateway: type[Gateway]) -> None:
    if gateway.program() is None:
        pytest.skip(f"{gateway.name} is not installed; scripts/test gets it")


def ask(port: int, request: bytes) -> tuple[int, bytes]:
    """The status and the whole answer. Whoever is refused early may not get to send everything."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE) as connection:
        try:
            connection.sendall(request)
            while data := connection.recv(65536):
                received += data
                if b"\r\n\r\n" in received and b"onnection: close" not in received.partition(b"\r\n\r\n")[0]:
                    break  # an answer of its own to what asked to be upgraded
        except ConnectionError:
            pass
    return int(received[9:12] or 0), received


@pytest.fixture
def revoked(people: People) -> tuple[str, str]:
    """Dana's token, and the revision from which she may no more."""
    name = f"dana{free_port()}"
    user = people.new_user(name)
    people.grant(user, CHANGE).demand("granting", 200, 201, 204)
    token = people.token(name)
    answer = people.revoke(user, CHANGE).demand("revoking", 200, 204)
    return token, answer.headers["authz-revision"]


@pytest.mark.parametrize("kind", GATEWAYS, ids=lambda kind: cast(type[Gateway], kind).name)
def test_the_table(
    kind: type[Gateway],
    asked: dict[str, Asked],
    service: Service,
    people: People,
    revoked: tuple[str, str],
) -> None:
    available(kind)
    assert len(ROWS) == 30
    tokens = {"alice": people.pass_of("alice"), "bob": people.pass_of("bob"), "dana": revoked[0]}
    wrong = []
    with kind(asked[kind.source].decisions, service.address) as gateway:
        wait_for(lambda: ask(gateway.port, ROWS["a read"].sent(tokens))[0] == 200, DEADLINE, kind.name)
        for name, row in ROWS.items():
            service.seen.clear()
            request = row.sent(tokens).replace(b"<revoked>", revoked[1].encode())
            status, answer = ask(gateway.port, request)
            wanted = (
                [(row.method, row.path, len(row.body) if row.method != "GET" else 0)] if row.passes else []
            )
            if status not in row.right or service.seen != wanted:
                wrong.append((name, status, answer[:300], service.seen))
        told = [who_asks(gateway, service, who, tokens) for who in ("bob", "", "nonsense")]
    assert wrong == []
    bob, nobody, bad = told
    assert bob[:2] == [str(people.id_of("bob")), "bob"]
    assert len(bob) == 3
    assert set(nobody) | set(bad) <= {""}


def who_asks(gateway: Gateway, service: Service, who: str, tokens: dict[str, str]) -> list[str]:
    """What the service is told of who asks, when the client says that it is admin."""
    forged = tuple(f"{name}: admin" for name in TOLD)
    service.told.clear()
    status, _ = ask(gateway.port, ROWS["a read"]._replace(who=who, lines=forged).sent(tokens))
    assert status == 200
    (told,) = service.told
    return told


@pytest.mark.parametrize("kind", GATEWAYS, ids=lambda kind: cast(type[Gateway], kind).name)
def test_who_points_it_at_the_proxied_port_by_mistake(
    kind: type[Gateway], asked: dict[str, Asked], service: Service, people: People
) -> None:
    """Envoy asks with the request's own method, which needs no recognizing: no rule is for /check."""
    available(kind)
    sidecar = asked[kind.source].sidecar
    size = sidecar.log_path.stat().st_size
    with kind(sidecar.address, service.address) as gateway:
        wait_for(lambda: ask(gateway.port, ROWS["a read"].sent({}))[0] == 200, DEADLINE, kind.name)
        service.seen.clear()
        tokens = {"bob": people.pass_of("bob")}
        for who in ("", "bob"):
            status, _ = ask(gateway.port, ROWS["allowed"]._replace(who=who).sent(tokens))
            assert status == (403 if kind is Envoy else 400)
    assert service.seen == []
    code = b"no_rule" if kind is Envoy else b"looks_like_a_hook"
    wait_for(lambda: sidecar.log_path.read_bytes()[size:].count(code) == 2, DEADLINE, "the decision log")


@pytest.mark.parametrize("kind", GATEWAYS, ids=lambda kind: cast(type[Gateway], kind).name)
def test_without_the_sidecar_nothing_passes(kind: type[Gateway], service: Service) -> None:
    available(kind)
    nobody = f"127.0.0.1:{free_port()}"
    away = {"nginx": 503, "caddy": 502, "traefik": 500, "envoy": 503}
    with kind(nobody, service.address) as gateway:
        wait_for(
            lambda: ask(gateway.port, ROWS["a read"].sent({}))[0] == away[kind.name], DEADLINE, kind.name
        )
    assert service.seen == []
