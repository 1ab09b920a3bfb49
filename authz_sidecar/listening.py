"""Binds a runner to its addresses; where that is impossible the setting is named."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import AsyncExitStack

from aiohttp import web

from authz_sidecar.config.addresses import Address
from authz_sidecar.core.errors import ConfigurationError, Problem

logger = logging.getLogger(__name__)


async def listen(
    stack: AsyncExitStack, runner: web.BaseRunner, variable: str, addresses: Sequence[Address]
) -> None:
    """Until `stack` is left. Raises ConfigurationError, which names `variable`."""
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    for address in addresses:
        try:
            await _bind(runner, address)
        except OSError as error:
            message = f"cannot listen on {address}: {error.strerror}; choose another address or port"
            raise ConfigurationError([Problem(variable, message)]) from error
    for host, port, *_ in runner.addresses:
        logger.info("%s is %s", variable, Address(host, port))


async def _bind(runner: web.BaseRunner, address: Address) -> None:
    port = address.port
    for host in address.hosts:
        await web.TCPSite(runner, host, port).start()
        port = runner.addresses[-1][1]  # a free one is the same for both families
