"""The three ways, on the event loop that the sidecar runs on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
import uvloop

from lab.oracle.ways import Ways, ways_to
from lab.wire import running


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
async def ways() -> AsyncIterator[Ways]:
    """To an upstream that is played by hand."""
    async with running() as rig, ways_to(rig) as ways:
        yield ways
