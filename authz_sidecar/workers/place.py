"""The place of one process in a sidecar of several: what it has inherited; what the supervisor and it say."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from authz_sidecar.fair import Shares
from authz_sidecar.feed.rendezvous import Rendezvous
from authz_sidecar.listening import Listeners

ALIVE, ABLE, STARTED, RELOADED = b".", b"a", b"s", b"r"
"""What a process says. `ABLE`: it could serve."""
SERVE, DONE = b"S", b""
"""What the supervisor says, beside what has happened at a hand-over. `DONE` is the end of the line."""
BEAT_SECONDS: Final = 0.25
FOLLOWER: Final = 0


@dataclass(frozen=True, slots=True)
class Place:
    """`number`: `FOLLOWER`, or that of a worker, from 1. `replaces`: how the one before it has ended.

    `joins`: an older version serves, and goes on until all processes of this one could.
    """

    number: int
    listeners: Listeners
    rendezvous: Rendezvous
    shares: Shares
    supervisor: socket.socket
    replaces: str | None
    joins: bool
    _turn: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    def tell(self, word: bytes) -> None:
        """Never waits: a supervisor that does not read has other troubles."""
        with suppress(OSError):
            self.supervisor.send(word, socket.MSG_DONTWAIT)

    async def beat(self) -> None:
        """Says that this process lives, as long as it does."""
        while True:
            self.tell(ALIVE)
            await asyncio.sleep(BEAT_SECONDS)

    async def turn(self) -> None:
        """This process could serve; waits until all can, where that is waited for."""
        if self.joins:
            self.tell(ABLE)
            await self._turn.wait()

    def hear(self, calls: Mapping[bytes, Callable[[], None]]) -> None:
        """Call what belongs to each word of the supervisor's. `DONE` is said by its death, too."""
        loop = asyncio.get_running_loop()
        every = {SERVE: self._turn.set, **calls}

        def hear() -> None:
            said = b""
            with suppress(OSError):
                said = self.supervisor.recv(64)
            if not said:
                loop.remove_reader(self.supervisor)
            for word in [said[at : at + 1] for at in range(len(said))] or [DONE]:
                every[word]()

        loop.add_reader(self.supervisor, hear)
