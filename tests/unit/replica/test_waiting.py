"""Concurrent calls for the same thing share one."""

import asyncio

import pytest

from authz_sidecar.core.errors import Unavailable
from authz_sidecar.replica.waiting import SingleFlight


class Work:
    def __init__(self) -> None:
        self.calls = 0
        self.release = asyncio.Event()

    async def __call__(self) -> int:
        self.calls += 1
        await self.release.wait()
        return self.calls


async def test_callers_share_one_call() -> None:
    flights: SingleFlight[int] = SingleFlight(10)
    work = Work()
    callers = [asyncio.create_task(flights.call("x", work)) for _ in range(5)]
    await asyncio.sleep(0)
    work.release.set()
    assert await asyncio.gather(*callers) == [1] * 5
    assert await flights.call("x", work) == 2


async def test_a_cancelled_caller_takes_nobody_along() -> None:
    flights: SingleFlight[int] = SingleFlight(10)
    work = Work()
    first, second = (asyncio.create_task(flights.call("x", work)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    work.release.set()
    assert await second == 1


async def test_too_many_different_calls_are_refused() -> None:
    flights: SingleFlight[int] = SingleFlight(1)
    work = Work()
    first = asyncio.create_task(flights.call("x", work))
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await flights.call("y", work)
    work.release.set()
    assert await first == 1
    assert await flights.call("y", work) == 2
