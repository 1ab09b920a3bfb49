"""One sidecar under attack, with rules that invite to be got round."""

from __future__ import annotations

import json
import socket
import time
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from jwt.algorithms import get_default_algorithms

from lab.stack.client import People, call
from lab.stack.services import Sidecar, UserService
from lab.stack.system import Stack
from lab.wire.front import Front, attacking

POLICY = """
version: 1
rules:
  - {methods: [POST], path: /students/, permission: students.add_student}
  - {methods: [PUT, PATCH], path: "/students/{id}/", permission: students.change_student}
  - {methods: [PATCH], path: /students/special/, permission: students.delete_student}
  - {methods: [PATCH], path: /students/2/, permission: students.delete_student}
  - {methods: [DELETE], path: "/students/{id}/", permission: students.delete_student}
  - {methods: [GET], path: /students/3/, permission: students.view_student}
  - {methods: [GET], path: /socket/, permission: students.view_student}
  - {methods: [PUT], path: "/own/{id}/", own: id}
  - {methods: [POST], path: /scoped/, allow: authenticated, scope: write}
  - {methods: [POST, PUT, PATCH, DELETE], path: "/open/{rest:path}", allow: anyone}
"""


class Attacked(NamedTuple):
    """A sidecar, and the socket where its upstream is."""

    sidecar: Sidecar
    upstream: socket.socket


@pytest.fixture(scope="session")
def attacked(system: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacked]:
    policy = tmp_path_factory.mktemp("policy") / "policy.yaml"
    policy.write_text(POLICY)
    with socket.create_server(("127.0.0.1", 0)) as upstream:
        url = f"http://127.0.0.1:{upstream.getsockname()[1]}"
        sidecar = system.add_sidecar({"AUTHZ_POLICY": str(policy), "AUTHZ_UPSTREAM": url})
        upstream.setblocking(False)
        with suppress(BlockingIOError):  # it was only asked whether it is there
            while True:
                upstream.accept()[0].close()
        yield Attacked(sidecar, upstream)


class Issuer:
    """Signs with the User service's own key, so that only what a token says can be wrong with it."""

    def __init__(self, service: UserService) -> None:
        people = People(service.url, service.password)
        (path,) = Path(service.env["AUTH_KEYS_DIR"]).glob("*.pem")
        self.private: Any = load_pem_private_key(path.read_bytes(), password=None)
        self.header = {"typ": "at+jwt", "alg": "RS256", "kid": path.stem}
        self._issuer = service.url
        self._users: dict[str, dict[str, Any]] = {}
        for name in ("admin", "alice", "bob", "carol"):
            url = f"{service.url}/authz/v1/subjects/{people.id_of(name)}"
            self._users[name] = call(url, token=service.service_token).demand(name, 200).json()

    def claims(self, name: str) -> dict[str, Any]:
        """What the User service would say of this user."""
        now, user = int(time.time()), self._users[name]
        return {
            "iss": self._issuer,
            "aud": "student-service",
            "sub": user["sub"],
            "iat": now,
            "exp": now + 300,
            "authz_gen": user["token_generation"],
        }

    def sign(self, header: object, claims: object, algorithm: str = "RS256", key: Any = None) -> str:
        """Text and bytes go in as they are, anything else as JSON."""
        signed = b".".join(map(encode, (header, claims)))
        signature = get_default_algorithms()[algorithm].sign(signed, key or self.private)
        return (signed + b"." + encode(signature)).decode("ascii")

    def token(self, name: str) -> str:
        return self.sign(self.header, self.claims(name))


def encode(part: object) -> bytes:
    """One part of a token."""
    text = part if isinstance(part, str | bytes) else json.dumps(part)
    return urlsafe_b64encode(text if isinstance(text, bytes) else text.encode()).rstrip(b"=")


@pytest.fixture(scope="module")
def issuer(system: Stack) -> Issuer:
    return Issuer(system.user_service)


@pytest.fixture
def tokens(issuer: Issuer) -> Mapping[str, str]:
    """Admin may do everything, bob add and change, carol view, alice nothing."""
    return {name: issuer.token(name) for name in ("admin", "alice", "bob", "carol")}


@pytest.fixture
async def front(attacked: Attacked, system: Stack, tokens: Mapping[str, str]) -> AsyncIterator[Front]:
    async with attacking(attacked.sidecar, system.student_service, attacked.upstream, tokens) as front:
        yield front
