"""Binds runners to their addresses, or to sockets handed over; where that cannot be the setting is named."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress

from aiohttp import web

from authz_sidecar.admin.health import LOOK_SECONDS, Check, until_well
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
        self.handed = bool(found)
        """Whether somebody has bound sockets for this one."""
        self.has_older = self._older is not None and bool(self._older.sockets)
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

    async def wait(self, checks: Mapping[str, Check]) -> None:
        """Where sockets were handed over, until all `checks` are well.

        What waits in a queue already is better served late than badly.
        Raises ConfigurationError when an older version had better go on.
        """
        if not self.handed:
            return
        seconds = self._handover.seconds
        failing = await until_well(checks, seconds)
        if failing and self.has_older:
            raise self.too_late(failing)
        if failing:
            logger.warning("not live within %g s; connections are accepted now (%s)", seconds, failing)

    def too_late(self, failing: str) -> ConfigurationError:
        """The time is over."""
        message = f"not live within {self._handover.seconds:g} s, so the older version goes on ({failing})"
        return ConfigurationError([Problem("AUTHZ_HANDOVER_TIMEOUT", message)])

    async def open(self, stack: AsyncExitStack, site: Site = alone) -> None:
        """Accepts connections, until the stack is left."""
        for runner in self._runners.values():
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
        for variable, each in self._sockets:
            if variable in self._runners:
                await site(self._runners[variable], each).start()
                logger.info("%s is %s", variable, Address(*each.getsockname()[:2]))

    def take_over(self, now: Callable[[], float]) -> Handover | None:
        """This one accepts connections, so an older one may leave. Returns what waits for a newer one.

        `now`: a clock. Raises ConfigurationError when nobody could take over from this one: it stays.
        """
        path, sockets = self._handover.path, [each for _, each in self._sockets]
        handover = Handover(path, sockets, now) if path else None
        if self._older:
            self._older.take_over()
        return handover

    def disown(self) -> None:
        """In a process that has been forked: it accepts, and its parent takes over."""
        if self._older:
            self._older.disown()

    async def leave(self, seconds: float) -> None:
        """Accepts nothing more; returns when everybody who was accepted has gone, at most so much later."""
        await self.stop_accepting()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await asyncio.sleep(LOOK_SECONDS)  # whoever is being accepted is not known yet
                while any(runner.server and runner.server.connections for runner in self._runners.values()):  # noqa: ASYNC110 (aiohttp's servers do not tell)
                    await asyncio.sleep(LOOK_SECONDS)

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
