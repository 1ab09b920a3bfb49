"""The process that one sidecar is: its event loop, its signals, its output."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from contextlib import AsyncExitStack

import uvloop

from authz_sidecar.app import Sidecar
from authz_sidecar.config.configuration import Configuration
from authz_sidecar.observe import logs, output
from authz_sidecar.observe.output import Outputs

logger = logging.getLogger(__name__)

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT)
UNUSED = (signal.SIGUSR1, signal.SIGUSR2)
"""Nobody told us what they are to mean, and by default each would drop the requests under way."""


class SystemClock:
    """The machine's clocks: the only place that reads them."""

    monotonic = staticmethod(time.monotonic)
    wall = staticmethod(time.time)


def run(configuration: Configuration, kind: type[Sidecar] = Sidecar) -> int:
    """Serve until SIGINT or SIGTERM. Raises ConfigurationError when it cannot listen."""
    with output.taken_over() as outputs:
        logs.configure(configuration.settings.log_level, outputs.diagnostics)
        uvloop.run(_serve(kind, configuration, outputs))
    return 0


async def _serve(kind: type[Sidecar], configuration: Configuration, outputs: Outputs) -> None:
    """Run one sidecar of this kind until it is told to stop."""
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        sidecar = kind(configuration, SystemClock(), outputs, stack)
        for number in ENDING:
            loop.add_signal_handler(number, sidecar.stop.set)
        for number in UNUSED:
            loop.add_signal_handler(
                number, logger.info, "signal %s means nothing here and is ignored", number.name
            )
        loop.add_signal_handler(signal.SIGHUP, sidecar.reload_soon)
        await sidecar.start()
        await sidecar.stop.wait()
        logger.info("stopping: requests under way end first")
