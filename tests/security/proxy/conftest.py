"""The byte path under attack, on the event loop that the sidecar runs on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping

import pytest
import uvloop

from lab.wire.states import WATCHABLE, watched


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(autouse=True)
def lawful() -> Iterator[None]:
    """Whatever a test does, nothing follows that may not."""
    if WATCHABLE:
        with watched():
            yield
    else:
        yield
