"""Listening sockets that somebody else has bound: systemd, or the version of this sidecar that goes.

A socket belongs to the setting that names its address; nothing else has to be told of it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, MutableMapping

from authz_sidecar.core.errors import ConfigurationError, Problem

FIRST_DESCRIPTOR = 3
"""Where those of systemd begin: sd_listen_fds(3)."""


class Inherited:
    """Those that nobody has asked for yet."""

    def __init__(self, sockets: Iterable[socket.socket] = ()) -> None:
        self._sockets = list(sockets)

    def take(self, host: str, port: int) -> socket.socket | None:
        """The one that listens there. Raises OSError when `host` has no address."""
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        wanted = {(family, *address[:2]) for family, *_, address in found}
        for each in self._sockets:
            if (each.family, *each.getsockname()[:2]) in wanted:
                self._sockets.remove(each)
                return each
        return None

    def refuse_rest(self) -> None:
        """Raises ConfigurationError: connections would wait for ever at a socket that nobody serves."""
        if not self._sockets:
            return
        addresses = ", ".join("{}:{}".format(*each.getsockname()[:2]) for each in self._sockets)
        message = (
            f"no setting names {addresses}, whose sockets were handed over; name them, or hand over fewer"
        )
        raise ConfigurationError([Problem("AUTHZ_LISTEN", message)])


def from_systemd(environment: MutableMapping[str, str]) -> list[socket.socket]:
    """What socket activation hands over. Its variables are taken away, so that no child believes them."""
    pid, count = (environment.pop(name, "") for name in ("LISTEN_PID", "LISTEN_FDS"))
    environment.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or not count.isdecimal():
        return []
    return [socket.socket(fileno=FIRST_DESCRIPTOR + index) for index in range(int(count))]
