"""The place of one process in a sidecar of several: what it has inherited, and its word to the supervisor."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from authz_sidecar.fair import Shares
from authz_sidecar.feed.rendezvous import Rendezvous
from authz_sidecar.listening import Listeners

ALIVE, STARTED, RELOADED = b".", b"s", b"r"
BEAT_SECONDS: Final = 0.25
FOLLOWER: Final = 0


@dataclass(frozen=True, slots=True)
class Place:
    """`number`: `FOLLOWER`, or that of a worker, from 1. `replaces`: how the one before it has ended."""

    number: int
    listeners: Listeners
    rendezvous: Rendezvous
    shares: Shares
    supervisor: socket.socket
    replaces: str | None

    def tell(self, word: bytes) -> None:
        """Never waits: a supervisor that does not read has other troubles."""
        with suppress(OSError):
            self.supervisor.send(word, socket.MSG_DONTWAIT)

    async def beat(self) -> None:
        """Says that this process lives, as long as it does."""
        while True:
            self.tell(ALIVE)
            await asyncio.sleep(BEAT_SECONDS)

    def on_end(self, call: Callable[[], None]) -> None:
        """Call it when the supervisor is done with this process, or has died."""
        loop = asyncio.get_running_loop()

        def ended() -> None:
            loop.remove_reader(self.supervisor)
            call()

        loop.add_reader(self.supervisor, ended)
