"""The processes of one sidecar: each with its event loop, its signals, its output."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Callable, Collection
from contextlib import AsyncExitStack
from functools import partial

import uvloop

from authz_sidecar.app import Sidecar
from authz_sidecar.config.configuration import Configuration
from authz_sidecar.core.ports import Clock
from authz_sidecar.memory import Memory
from authz_sidecar.observe import logs, output
from authz_sidecar.observe.output import Outputs
from authz_sidecar.workers.follower import FollowerSidecar
from authz_sidecar.workers.place import FOLLOWER, Place
from authz_sidecar.workers.supervisor import Supervisor
from authz_sidecar.workers.worker import WorkerSidecar

logger = logging.getLogger(__name__)

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT)
UNUSED = (signal.SIGUSR1, signal.SIGUSR2)
"""Nobody told us what they are to mean, and by default each would drop the requests under way."""

Kind = Callable[[Configuration, Clock, Outputs, AsyncExitStack], Sidecar]


class SystemClock:
    """The machine's clocks: the only place that reads them."""

    monotonic = staticmethod(time.monotonic)
    wall = staticmethod(time.time)


def run(configuration: Configuration, kind: Kind = Sidecar) -> int:
    """Serve until SIGINT or SIGTERM. Raises ConfigurationError when it cannot listen."""
    if configuration.settings.workers > 1:
        return Supervisor(configuration, _one_of_several).run()
    _be(kind, configuration, ENDING)
    return 0


def _one_of_several(configuration: Configuration, place: Place) -> None:
    if place.number == FOLLOWER:
        _be(partial(FollowerSidecar, place), configuration, (), shared=True)
    else:
        _be(partial(WorkerSidecar, place), configuration, (signal.SIGTERM,), shared=True)


def _be(
    kind: Kind, configuration: Configuration, ending: Collection[signal.Signals], *, shared: bool = False
) -> None:
    """`ending`: the signals that end it; the others of `ENDING` are left as they are."""
    with output.taken_over(shared=shared) as outputs:
        logs.configure(configuration.settings.log_level, outputs.diagnostics)
        uvloop.run(_serve(kind, configuration, outputs, ending))


async def _serve(
    kind: Kind, configuration: Configuration, outputs: Outputs, ending: Collection[signal.Signals]
) -> None:
    """Run one sidecar of this kind until it is told to stop."""
    loop = asyncio.get_running_loop()
    memory = Memory()
    async with AsyncExitStack() as stack:
        sidecar = kind(configuration, SystemClock(), outputs, stack)
        for number in ending:
            loop.add_signal_handler(number, sidecar.stop.set)
        for number in UNUSED:
            loop.add_signal_handler(
                number, logger.info, "signal %s means nothing here and is ignored", number.name
            )
        loop.add_signal_handler(signal.SIGHUP, sidecar.reload_soon)
        stack.callback(asyncio.create_task(memory.keep_small()).cancel)
        await _started_and_stopped(sidecar, memory)
        logger.info("stopping: requests under way end first")


async def _started_and_stopped(sidecar: Sidecar, memory: Memory) -> None:
    """Whoever is told to stop before it has started goes no further."""
    stopped = asyncio.create_task(sidecar.stop.wait())
    starting = asyncio.create_task(sidecar.start())
    try:
        await asyncio.wait((starting, stopped), return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            memory.settle()
        starting.cancel()
        await stopped
    finally:
        stopped.cancel()
        await asyncio.wait((starting, stopped))
