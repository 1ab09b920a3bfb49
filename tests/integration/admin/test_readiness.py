"""What readiness asks: does the upstream prove who it is, are there keys, can changes be decided on?"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from authz_sidecar.admin import health
from authz_sidecar.config import tls
from authz_sidecar.config.addresses import UpstreamAddress
from authz_sidecar.core.decision import stand
from authz_sidecar.core.entities import Position
from authz_sidecar.core.ports import KeysStatus
from authz_sidecar.core.verdicts import Verdict
from authz_sidecar.replica.near_cache import NearCache
from lab import DEADLINE
from lab.wire.certificates import self_signed


@dataclass
class Service:
    """An upstream with TLS that remembers how each connection ended, and whatever it had to complain of."""

    certificate: Path
    port: int = 0
    ends: list[bytes] = field(default_factory=list)
    complaints: list[object] = field(default_factory=list)
    ended: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.ends.append(await reader.read())
        writer.close()
        async with self.ended:
            self.ended.notify_all()

    async def seen(self, connections: int) -> None:
        async with asyncio.timeout(DEADLINE), self.ended:
            await self.ended.wait_for(lambda: len(self.ends) >= connections)


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    for path, content in zip((certificate, key), self_signed(), strict=True):
        path.write_bytes(content)
    made = Service(certificate)
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: made.complaints.append(context))
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0, ssl=tls.server(certificate, key))
    made.port = server.sockets[0].getsockname()[1]
    yield made
    server.close()
    await server.wait_closed()


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "CONNECT_SECONDS", DEADLINE)
    monkeypatch.setattr(health, "REMEMBERED_SECONDS", 2 * DEADLINE)


async def test_an_upstream_that_proves_its_name_has_nothing_to_complain_of(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "REMEMBERED_SECONDS", 0.0)
    trusted = tls.client(service.certificate)
    check = health.reachable(UpstreamAddress("localhost", service.port, tls=True), trusted)
    for _ in range(3):
        assert await check() is None
    await service.seen(3)
    assert service.ends == [b""] * 3
    assert not service.complaints


async def test_what_is_asked_of_others_is_remembered_a_while(service: Service) -> None:
    trusted = tls.client(service.certificate)
    check = health.reachable(UpstreamAddress("localhost", service.port, tls=True), trusted)
    assert await asyncio.gather(*(check() for _ in range(20))) == [None] * 20
    await service.seen(1)
    assert len(service.ends) == 1


UNPROVED: dict[str, tuple[str, Callable[[Path], ssl.SSLContext | None]]] = {
    "another name": ("127.0.0.1", tls.client),
    "unknown authority": ("localhost", lambda _path: None),
}


@pytest.mark.parametrize(("host", "trust"), UNPROVED.values(), ids=UNPROVED)
async def test_an_upstream_whose_certificate_is_refused_is_not_ready(
    service: Service, host: str, trust: Callable[[Path], ssl.SSLContext | None]
) -> None:
    address = UpstreamAddress(host, service.port, tls=True)
    problem = await health.reachable(address, trust(service.certificate))()
    assert problem is not None
    assert problem.startswith(f"{host}:{service.port}: its certificate is not accepted: ")


@pytest.mark.parametrize(
    ("status", "problem"),
    [
        (KeysStatus(("one",), 5.0, None), None),
        (KeysStatus(("one",), 500.0, "answered 500"), None),
        (KeysStatus((), None, "answered 500"), "there are no signing keys: answered 500"),
        (KeysStatus((), 9_000.0, None), "there are no signing keys: they are too old"),
    ],
)
async def test_without_keys_nothing_can_be_decided(status: KeysStatus, problem: str | None) -> None:
    assert await health.keys(lambda: {"https://one": status})() == problem


async def test_whose_keys_are_missing_is_said_where_there_are_several_issuers() -> None:
    statuses = {
        "https://one": KeysStatus(("one",), 5.0, None),
        "https://two": KeysStatus((), None, "answered 500"),
    }
    found = await health.keys(lambda: statuses)()
    assert found == "there are no signing keys: https://two: answered 500"


HERE = Position("3f2a9c1b-0000-4000-8000-000000000001", 12, None)


@pytest.mark.parametrize(
    ("position", "staleness", "audit_age", "code"),
    [
        (HERE, 10.0, 60.0, None),
        (None, None, 0.0, "not_ready"),
        (HERE, None, 0.0, "stale"),
        (HERE, 10.1, 0.0, "stale"),
        (HERE, 0.0, 60.1, "unaudited"),
    ],
)
async def test_readiness_is_what_a_decision_would_be(
    position: Position | None, staleness: float | None, audit_age: float, code: str | None
) -> None:
    near = NearCache(10)
    if position is not None:
        near.restart(position)

    def undecided() -> Verdict | None:
        found = stand(near, staleness, 10.0, audit_age, 60.0)
        return found if isinstance(found, Verdict) else None

    problem = await health.decides(undecided)()
    assert (problem and problem.partition(": ")[0]) == code
