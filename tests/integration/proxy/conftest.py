"""Every test of the byte path runs on both event loops."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Mapping

import pytest
import uvloop

from lab.wire import Rig, running
from lab.wire.certificates import Contexts, self_signed
from lab.wire.states import WATCHABLE, watched


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.SelectorEventLoop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    """A proxy whose upstream the test plays by hand."""
    async with running() as rig:
        yield rig


@pytest.fixture(autouse=True)
def lawful() -> Iterator[None]:
    """Whatever a test does, nothing follows that may not."""
    if WATCHABLE:
        with watched():
            yield
    else:
        yield


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> Contexts:
    """A server's context with a certificate for localhost, and a client's that trusts it."""
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    path.write_bytes(b"".join(self_signed()))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path)
    return server, ssl.create_default_context(cafile=str(path))
