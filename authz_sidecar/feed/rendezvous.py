"""Where workers and the follower find each other: a socket that both have inherited, and that has no name."""

from __future__ import annotations

import socket

from authz_sidecar.core.errors import Unavailable


class Rendezvous:
    """Ends of lines are passed through it, and wait in it while there is no follower."""

    def __init__(self) -> None:
        self._inner, self._outer = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._inner.setblocking(False)
        self._outer.setblocking(False)

    def close(self) -> None:
        self._inner.close()
        self._outer.close()

    def fileno(self) -> int:
        """Readable when a worker has called."""
        return self._inner.fileno()

    def call(self) -> socket.socket:
        """A worker's end of a new line. Raises Unavailable."""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                socket.send_fds(self._outer, [b"\n"], [theirs.fileno()])
            except OSError as error:
                ours.close()
                raise Unavailable("no follower answers") from error
        ours.setblocking(False)
        return ours

    def answer(self) -> socket.socket | None:
        """The follower's end of a new line; `None` when nobody has called."""
        try:
            _, descriptors, *_ = socket.recv_fds(self._inner, 1, 1)
        except BlockingIOError:
            return None
        found = socket.socket(fileno=descriptors[0])
        found.setblocking(False)
        return found
