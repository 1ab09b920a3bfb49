"""One sidecar with every further way open to say who asks, and an issuer beside the User service."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from lab.stack.services import Sidecar
from lab.stack.system import Stack
from lab.wire.front import Front, attacking

LISTED = "https://app.example"
OTHER_ISSUER = "https://id.example/realms/school"
MAIL_ISSUER = "https://mail.example"
"""Names users by their e-mail addresses, which are their names here; the other two by primary keys."""


class Doors(NamedTuple):
    """The sidecar, the socket where its upstream is, and what the second issuer signs with."""

    sidecar: Sidecar
    upstream: socket.socket
    private: rsa.RSAPrivateKey


@pytest.fixture(scope="session")
def keys(system: Stack) -> Iterator[tuple[str, rsa.RSAPrivateKey]]:
    """The URL of the second issuer's key set, and its only key, which has the name of the first one's."""
    private = rsa.generate_private_key(65537, 2048)
    (ours,) = Path(system.user_service.env["AUTH_KEYS_DIR"]).glob("*.pem")
    jwk = RSAAlgorithm.to_jwk(private.public_key(), as_dict=True) | {"kid": ours.stem}
    body = json.dumps({"keys": [jwk]}).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/jwks", private
        server.shutdown()


@pytest.fixture(scope="session")
def opened(
    system: Stack,
    attacked: Any,
    keys: tuple[str, rsa.RSAPrivateKey],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Doors]:
    issuers = tmp_path_factory.mktemp("issuers") / "issuers.yaml"
    ours = system.user_service.url
    first = {"issuer": ours, "audiences": ["student-service"], "subject": {"user_field": "pk"}}
    second: dict[str, Any] = {"issuer": OTHER_ISSUER, "audiences": ["student-api"], "type": "JWT"}
    first |= {"keys": f"{ours}/.well-known/jwks.json", "claims": "authz", "algorithms": ["RS256"]}
    second |= {"keys": keys[0], "algorithms": ["RS256"], "subject": {"claim": "uid", "user_field": "pk"}}
    subject = {"claim": "email", "user_field": "username"}
    third = {**second, "issuer": MAIL_ISSUER, "subject": subject}
    document = {"version": 1, "issuers": [first, second, third], "shared_user_fields": ["pk"]}
    issuers.write_text(json.dumps(document))
    with socket.create_server(("127.0.0.1", 0)) as upstream:
        env = {
            "AUTHZ_POLICY": attacked.sidecar.env["AUTHZ_POLICY"],
            "AUTHZ_UPSTREAM": f"http://127.0.0.1:{upstream.getsockname()[1]}",
            "AUTHZ_TOKEN_COOKIE": "token",
            "AUTHZ_TOKEN_COOKIE_ORIGINS": LISTED,
            "AUTHZ_TOKEN_SUBPROTOCOL": "true",
            "AUTHZ_IDENTITY": "subject,name,revision",
            "AUTHZ_ISSUERS_FILE": str(issuers),
            "AUTHZ_JWT_ISSUER": "",
            "AUTHZ_JWT_AUDIENCE": "",
            "AUTHZ_LOG_LEVEL": "debug",
        }
        with Sidecar(system.user_service, env["AUTHZ_UPSTREAM"], env) as sidecar:
            upstream.setblocking(False)
            with suppress(BlockingIOError):  # it was only asked whether it is there
                while True:
                    upstream.accept()[0].close()
            yield Doors(sidecar, upstream, keys[1])


@pytest.fixture
async def front(opened: Doors, system: Stack, tokens: Mapping[str, str]) -> AsyncIterator[Front]:
    async with attacking(opened.sidecar, system.student_service, opened.upstream, tokens) as front:
        yield front
