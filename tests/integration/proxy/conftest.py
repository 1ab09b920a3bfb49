"""Every test of the byte path runs on both event loops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping

import pytest
import uvloop

from lab.wire import Rig, running
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
