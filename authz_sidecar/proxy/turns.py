"""A queue of those who wait for something that there is only so much of."""

from __future__ import annotations

import asyncio
from collections import deque


class Turns:
    """Who has waited longest is woken first, and looks again whether it is there."""

    def __init__(self) -> None:
        self.waiting: deque[asyncio.Future[None]] = deque()

    async def wait(self) -> None:
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.wake()  # it was our turn: let the next one have it
            raise

    def wake(self) -> None:
        """Something has become free."""
        while self.waiting:
            place = self.waiting.popleft()
            if not place.done():
                place.set_result(None)
                return
