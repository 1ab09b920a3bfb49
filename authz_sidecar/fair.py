"""Processes accept from one listening socket, each about as many connections as the others.

The kernel wakes all of them for a new connection, and whoever is first has it: under load that can be four
times as many for one as for another. So each says in memory that all share how many it has. One that has more
than another lets it go first, but only for a moment: that other one may be busy, or gone.
"""

from __future__ import annotations

import asyncio
import mmap
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, cast

from aiohttp import web

PAUSE_SECONDS: Final = 0.002
AFTER_PAUSE: Final = 4
"""Connections that are taken at once when nobody else has taken them."""
NO_DESCRIPTOR_SECONDS: Final = 0.1
ABSENT: Final = 2**31 - 1


class Shares:
    """How many connections each process has."""

    def __init__(self, processes: int) -> None:
        self._counts = memoryview(mmap.mmap(-1, 4 * processes)).cast("i")
        for number in range(processes):
            self.leave(number)

    def leave(self, number: int) -> None:
        """It accepts nothing (any more): nobody waits for it."""
        self._counts[number] = ABSENT

    def may_accept(self, number: int, connections: int) -> bool:
        """Whether this one, which has so many, has no more than any other."""
        self._counts[number] = connections
        return connections <= min(self._counts)


class FairSite(web.BaseSite):
    """Accepts from a socket that other processes accept from, too."""

    def __init__(self, runner: web.BaseRunner, sock: socket.socket, may_accept: Callable[[], bool]) -> None:
        super().__init__(runner)
        self._sock = sock
        self._may_accept = may_accept
        self._pause: asyncio.TimerHandle | None = None
        self._accepted: set[asyncio.Task[Any]] = set()

    @property
    def name(self) -> str:
        return "http://{}:{}".format(*self._sock.getsockname()[:2])

    async def start(self) -> None:
        await super().start()
        self._sock.setblocking(False)
        self._watch()

    async def stop(self) -> None:
        self._unwatch()
        if self._pause is not None:
            self._pause.cancel()
        if self._accepted:
            await asyncio.wait(self._accepted)
        await super().stop()

    def _watch(self) -> None:
        self._pause = None
        asyncio.get_running_loop().add_reader(self._sock, self._ready)

    def _unwatch(self) -> None:
        asyncio.get_running_loop().remove_reader(self._sock)

    def _ready(self) -> None:
        if self._may_accept():
            self._accept()
        else:
            self._rest(PAUSE_SECONDS, self._resume)

    def _rest(self, seconds: float, then: Callable[[], None]) -> None:
        self._unwatch()
        self._pause = asyncio.get_running_loop().call_later(seconds, then)

    def _resume(self) -> None:
        self._watch()
        for _ in range(AFTER_PAUSE):
            if self._pause is not None or not self._accept():
                return

    def _accept(self) -> bool:
        """Whether there was a connection."""
        try:
            connection, _ = self._sock.accept()
        except (BlockingIOError, ConnectionAbortedError):  # another process was first; the client has gone
            return False
        except OSError:  # no descriptor is free
            self._rest(NO_DESCRIPTOR_SECONDS, self._watch)
            return False
        connection.setblocking(False)
        task = asyncio.get_running_loop().create_task(self._serve(connection))
        self._accepted.add(task)
        task.add_done_callback(self._accepted.discard)
        return True

    async def _serve(self, connection: socket.socket) -> None:
        factory = cast(Callable[[], asyncio.BaseProtocol], self._runner.server)
        with suppress(OSError):  # the client has gone
            await asyncio.get_running_loop().connect_accepted_socket(factory, connection)
