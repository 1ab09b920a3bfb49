"""A newer version of this sidecar takes over the listening sockets, and no connection notices.

The socket of a port is a thing of the kernel's with a queue of connections in it; it lives as long as any
process has it open. So the newer process is given a copy of each over a Unix socket (SCM_RIGHTS, unix(7)),
and for a while both have them:

    older    LISTENING ----------------------- hands over ... waits --- "live" --> LEAVING --> gone
    newer              connects, is handed the sockets, loads its copy --/ \\--> accepts, LISTENING

The newer one accepts nothing before it can decide, and the older one goes on accepting until it is told that;
between the two, connections wait in the queue. What the older one has accepted it serves to its end: each
connection is closed with its next answer, which says so. When the newer one fails before it is live, its end
of the Unix socket closes, and the older one goes on as if nothing had been. One at a time may try.

The path belongs to whoever listens: a newer one puts its own socket in its place in one step (rename(2)).
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from authz_sidecar.core.errors import ConfigurationError, Problem

logger = logging.getLogger(__name__)

LIVE = b"live\n"
MOST_SOCKETS = 64
ANSWER_SECONDS = 5.0
MOST_SECONDS = 3660.0
"""More than the longest that a newer version may be told to take: one that hangs blocks nobody for ever."""

HANDED, ENDED, TAKEN = b"h", b"e", b"t"
"""What may happen to the older one: a newer version is handed the sockets, and ends, or has taken over."""
SAID: Final[dict[bytes, tuple[int, str]]] = {
    HANDED: (logging.INFO, "a newer version is being started and is handed the listening sockets"),
    ENDED: (logging.WARNING, "the newer version ended before it was live: this one goes on"),
    TAKEN: (logging.INFO, "the newer version is live: this one takes no more connections"),
}


class Predecessor:
    """The version that runs already, seen from the newer one: nothing is its own until it is told `live`."""

    def __init__(self, path: Path) -> None:
        """Raises ConfigurationError when what listens there is no sidecar that hands over."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(ANSWER_SECONDS)
        self.sockets: list[socket.socket] = []
        try:
            self._socket.connect(str(path))
            _, descriptors, *_ = socket.recv_fds(self._socket, 1, MOST_SOCKETS)
        except (FileNotFoundError, ConnectionRefusedError):
            return  # nobody is there: this one is the first
        except OSError as error:
            raise _unusable(
                path, error.strerror or "it does not answer; is another version being started?"
            ) from error
        if not descriptors:
            raise _unusable(path, "no sockets are handed over there")
        self.sockets = [socket.socket(fileno=each) for each in descriptors]

    def take_over(self) -> None:
        """This one accepts connections: the other one may leave."""
        if self.sockets:
            with suppress(OSError):  # it has died meanwhile: all the better that the sockets are here
                self._socket.sendall(LIVE)
        self.disown()

    def disown(self) -> None:
        """In a process that has been forked: its parent takes over."""
        self._socket.close()


class Handover:
    """Seen from the older one: waits for its successor. Nothing here waits for anybody but `serve`."""

    def __init__(self, path: Path, sockets: Sequence[socket.socket], now: Callable[[], float]) -> None:
        """From here on the path is ours. `now`: seconds of a clock. Raises ConfigurationError."""
        self._path = path
        self._sockets = sockets
        self._now = now
        self._listener = _listener(path)
        self._inode = path.stat().st_ino
        self._successor: socket.socket | None = None
        self._until = 0.0

    def look(self) -> bytes | None:
        """What has happened since the last look; after `TAKEN` nothing more does."""
        return self._accept() if self._successor is None else self._hear(self._successor)

    def _accept(self) -> bytes | None:
        try:
            successor, _ = self._listener.accept()
        except BlockingIOError:
            return None
        successor.setblocking(False)
        self._successor, self._until = successor, self._now() + MOST_SECONDS
        with suppress(OSError):  # it has gone already, which the next look finds
            socket.send_fds(successor, [b"\n"], [each.fileno() for each in self._sockets])
        return HANDED

    def _hear(self, successor: socket.socket) -> bytes | None:
        told = b""
        try:
            told = successor.recv(len(LIVE))
        except BlockingIOError:
            if self._now() < self._until:
                return None
        except OSError:
            pass  # it has ended
        successor.close()
        self._successor = None
        return TAKEN if told == LIVE else ENDED

    async def serve(self, leave: Callable[[], None]) -> None:
        """Until a newer version has taken over; then `leave` is called. The path is taken away at the end."""
        try:
            while (step := self.look()) != TAKEN:
                if step is None:
                    await self._something()
                else:
                    tell(step)
        finally:
            self.close()
        tell(TAKEN)
        leave()

    async def _something(self) -> None:
        """Waits until there may be something to find."""
        loop, found = asyncio.get_running_loop(), asyncio.Event()
        watched = self._successor or self._listener
        loop.add_reader(watched, found.set)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(None if self._successor is None else self._until - self._now()):
                    await found.wait()
        finally:
            loop.remove_reader(watched)

    def close(self) -> None:
        """The path is taken away, if it is still ours."""
        self.disown()
        with suppress(FileNotFoundError):
            if self._path.stat().st_ino == self._inode:
                self._path.unlink()

    def disown(self) -> None:
        """In a process that has been forked: it is its parent's."""
        self._listener.close()
        if self._successor is not None:
            self._successor.close()


def tell(step: bytes) -> None:
    """In the log."""
    logger.log(*SAID[step])


def _listener(path: Path) -> socket.socket:
    """In the place of the older version's, in one step; only our own user can connect."""
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.setblocking(False)
    try:
        beside.unlink(missing_ok=True)
        before = os.umask(0o177)
        try:
            listener.bind(str(beside))
        finally:
            os.umask(before)
        listener.listen(1)
        beside.replace(path)
    except OSError as error:
        listener.close()
        raise _unusable(path, error.strerror or str(error)) from error
    return listener


def _unusable(path: Path, why: str) -> ConfigurationError:
    return ConfigurationError([Problem("AUTHZ_HANDOVER", f"cannot be used: {path}: {why}")])
