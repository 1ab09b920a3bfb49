"""Binds runners to their addresses, or to sockets handed over; where that cannot be the setting is named."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack

from aiohttp import web

from authz_sidecar.admin.health import Check, until_well
from authz_sidecar.config.addresses import Address
from authz_sidecar.config.table import HandoverSettings, Settings
from authz_sidecar.core.errors import ConfigurationError, Problem
from authz_sidecar.handover import Handover, Predecessor
from authz_sidecar.inherited import Inherited, from_systemd

logger = logging.getLogger(__name__)

BACKLOG = 128


Site = Callable[[web.BaseRunner, socket.socket], web.BaseSite]
"""What accepts the connections of one socket."""


def alone(runner: web.BaseRunner, each: socket.socket) -> web.BaseSite:
    """Where no other process accepts from it."""
    return web.SockSite(runner, each, backlog=BACKLOG)


class Listeners:
    """All listening sockets of one sidecar: those that it was handed, and those that it binds itself."""

    def __init__(self, handover: HandoverSettings) -> None:
        """Raises ConfigurationError when what listens at the hand-over's path is no older version."""
        self._handover = handover
        self._older = Predecessor(handover.path) if handover.path else None
        found = from_systemd(os.environ) + (self._older.sockets if self._older else [])
        self._inherited = Inherited(found)
        self._sockets: list[tuple[str, socket.socket]] = []
        self._runners: dict[str, web.BaseRunner] = {}

    def bind_all(self, settings: Settings) -> None:
        """The sockets of every port. Raises ConfigurationError."""
        self.bind("AUTHZ_ADMIN_LISTEN", settings.admin.listen)
        self.bind("AUTHZ_DECISIONS_LISTEN", settings.decisions.listen)
        self.bind("AUTHZ_LISTEN", settings.listen)
        self._inherited.refuse_rest()

    def bind(self, variable: str, addresses: Sequence[Address]) -> None:
        """Takes or binds the sockets; nothing is accepted yet.

        Raises ConfigurationError, which names `variable`.
        """
        for address in addresses:
            try:
                self._bind(variable, address)
            except OSError as error:
                message = f"cannot listen on {address}: {error.strerror}; choose another address or port"
                raise ConfigurationError([Problem(variable, message)]) from error

    def _bind(self, variable: str, address: Address) -> None:
        port = address.port
        for host in address.hosts:
            handed = self._inherited.take(host, port)
            for each in [handed] if handed is not None else bound(host, port):
                self._sockets.append((variable, each))
                port = each.getsockname()[1]  # a free one is the same for both families

    def close(self) -> None:
        for _, each in self._sockets:
            each.close()

    def serve(self, variable: str, runner: web.BaseRunner) -> None:
        """Let this one have the connections to the sockets that were bound for `variable`."""
        self._runners[variable] = runner

    async def open(
        self,
        stack: AsyncExitStack,
        checks: Mapping[str, Check],
        leave: Callable[[], None],
        site: Site = alone,
    ) -> Handover | None:
        """Accepts connections, until the stack is left.

        Where sockets were handed over, not before all `checks` are well. `leave` is called when a newer
        version has taken over from this one; it can as long as what is returned serves.
        Raises ConfigurationError when an older version had better go on.
        """
        if self._inherited.found:
            await self._wait(checks)
        for runner in self._runners.values():
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
        for variable, each in self._sockets:
            if variable in self._runners:
                await site(self._runners[variable], each).start()
                logger.info("%s is %s", variable, Address(*each.getsockname()[:2]))
        if self._older:
            self._older.take_over()
        sockets = [each for _, each in self._sockets]
        return Handover(self._handover.path, sockets, leave) if self._handover.path else None

    async def _wait(self, checks: Mapping[str, Check]) -> None:
        """What waits in a queue already is better served late than badly."""
        seconds = self._handover.seconds
        failing = await until_well(checks, seconds)
        if failing and self._older and self._older.sockets:
            message = f"not live within {seconds:g} s, so the older version goes on ({failing})"
            raise ConfigurationError([Problem("AUTHZ_HANDOVER_TIMEOUT", message)])
        if failing:
            logger.warning("not live within %g s; connections are accepted now (%s)", seconds, failing)

    async def stop_accepting(self) -> None:
        """What has been accepted goes on."""
        for runner in self._runners.values():
            for site in list(runner.sites):
                await site.stop()


def bound(host: str, port: int) -> list[socket.socket]:
    """One for each address that the host has. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    families = {family: address[:2] for family, *_, address in found}
    return [
        socket.create_server(address, family=family, backlog=BACKLOG) for family, address in families.items()
    ]
