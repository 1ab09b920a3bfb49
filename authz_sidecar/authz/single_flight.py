"""Concurrent calls for the same thing share one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

from authz_sidecar.core.errors import Unavailable

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """At most `limit` calls at once; further ones raise `Unavailable`."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._flights: dict[Hashable, asyncio.Task[T]] = {}

    async def call(self, key: Hashable, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The result of `work`, or of the call for `key` that is under way. Outlives a cancelled caller."""
        flight = self._flights.get(key)
        if flight is None:
            if len(self._flights) >= self._limit:
                raise Unavailable("too many reads are under way")
            flight = self._flights[key] = asyncio.create_task(work())
            flight.add_done_callback(lambda _flight: self._flights.pop(key))
        return await asyncio.shield(flight)
