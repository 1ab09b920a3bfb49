"""Who may wait, and that concurrent calls for the same thing share one."""

import asyncio
from typing import Any, cast

import pytest

from authz_sidecar.core.entities import RevisionToken
from authz_sidecar.core.errors import Unavailable
from authz_sidecar.replica import waiting
from authz_sidecar.replica.waiting import Arrival, SingleFlight, Waiting


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


class Nowhere:
    """A machine that has applied nothing yet."""

    applied = None


async def test_one_user_cannot_take_the_places_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "MAX_WAITING", waiting.MAX_WAITING_OF_ONE + 1)
    unused = cast(Any, None)
    room = Waiting(cast(Any, Nowhere()), unused, unused, unused, unused, unused, pull=lambda: None)

    def wait(sub: str) -> asyncio.Task[Arrival]:
        return asyncio.create_task(room.for_revision(RevisionToken("3f2a9c1b", 7), 1.0, sub))

    greedy = [wait("greedy") for _ in range(2 * waiting.MAX_WAITING_OF_ONE)]
    modest = wait("modest")
    await asyncio.sleep(0)
    refused = [each.result() for each in greedy if each.done()]
    assert refused == [Arrival.LATE] * waiting.MAX_WAITING_OF_ONE
    assert not modest.done()
    room.moved(confirmed_at=2.0)
    assert await modest is Arrival.OTHER_HISTORY
    await asyncio.gather(*greedy)
    again = wait("greedy")  # the places are free
    assert await again is Arrival.OTHER_HISTORY
