"""The process that follows the User service for all workers. The admin port is its."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import cached_property, partial
from heapq import merge
from itertools import islice
from typing import Any

from aiohttp import ClientSession

from authz_sidecar import handover
from authz_sidecar.app import Sidecar
from authz_sidecar.authn.keys import IssuersKeys, KeysByIssuer
from authz_sidecar.config.configuration import Configuration, Contents
from authz_sidecar.config.limits import ProxyLimits
from authz_sidecar.core.ports import Clock
from authz_sidecar.feed.feed import Feed
from authz_sidecar.listening import Listeners
from authz_sidecar.observe import families
from authz_sidecar.observe.decision_log import DecisionLog
from authz_sidecar.observe.hooks import RequestHooks
from authz_sidecar.observe.output import Outputs
from authz_sidecar.observe.recent import KEPT
from authz_sidecar.observe.tallies import Reading
from authz_sidecar.pipeline import Pipeline
from authz_sidecar.workers.place import DONE, RELOADED, STARTED, Place

logger = logging.getLogger(__name__)


class FollowerSidecar(Sidecar):
    """Has no port on which requests come in; what it tells of requests, its workers have counted."""

    def __init__(
        self,
        place: Place,
        configuration: Configuration,
        clock: Clock,
        outputs: Outputs,
        stack: AsyncExitStack,
    ) -> None:
        super().__init__(configuration, clock, outputs, stack)
        self._place = place
        self._keys: IssuersKeys | None = None
        self._feed: Feed | None = None

    async def start(self) -> None:
        """From its first moment on it says that it lives, and can be ended."""
        told = {step: partial(handover.tell, step) for step in (handover.HANDED, handover.ENDED)}
        self._place.hear({**told, handover.TAKEN: self.leave, DONE: self.stop.set})
        self.in_background("beat", self._place.beat())
        await super().start()

    async def start_keys(self, session: ClientSession) -> KeysByIssuer:
        keys = await super().start_keys(session)
        self._keys = keys if isinstance(keys, IssuersKeys) else None
        return keys

    async def open(self, decides: Pipeline, keys: KeysByIssuer) -> None:
        """Feed the workers, and listen on the admin port."""
        if self._place.replaces is not None:
            logger.warning("this process follows the User service now: %s", self._place.replaces)
        refreshers = {} if self._keys is None else self._keys.refreshers
        self._feed = Feed(self.replica, refreshers, self.reloader.in_force.contents)
        self.ready["workers"] = self._serving_worker
        self._export()
        self.in_background("feed", self._feed.serve(self._place.rendezvous))
        self.listeners.serve("AUTHZ_ADMIN_LISTEN", self.admin_runner(decides, keys))
        if self._place.joins:
            await self.listeners.wait(self.decides)
        await self._place.turn()
        await self.listeners.open(self.stack)
        self._place.tell(STARTED)
        self.watch_files()

    @cached_property
    def listeners(self) -> Listeners:
        return self._place.listeners

    def leave(self) -> None:
        """The workers are fed until they have left."""
        handover.tell(handover.TAKEN)
        self.leaving = True
        self.in_background("leave", self.listeners.stop_accepting())
        self.stack.push_async_callback(self.listeners.leave, self.settings.limits.drain_seconds)

    async def _serving_worker(self) -> str | None:
        return None if self._feed is not None and self._feed.links else "no worker is there"

    async def spread(self, contents: Contents) -> Sequence[str]:
        problems = [] if self._feed is None else await self._feed.reload(contents)
        self._place.tell(RELOADED)
        return problems

    # What is told of requests

    @property
    def limits(self) -> ProxyLimits:
        """It takes no requests, so they are nothing to it."""
        return self.settings.limits

    @cached_property
    def request_hooks(self) -> RequestHooks:
        """Nothing is reported to them but by questions on the admin port."""
        decision_log = DecisionLog(self.outputs.decisions, self.clock.wall)
        return RequestHooks(self.metrics, decision_log, self.recent)

    def _export(self) -> None:
        metrics, outputs = self.metrics, self.outputs

        def lost(name: str, here: int) -> int:
            there: int = sum(each["lost"][name] for each in self._reports())
            return here + there

        for family, name, queue in (
            (families.DECISION_LOG_DROPPED, "decisions", outputs.decisions),
            (families.LOG_DROPPED, "diagnostics", outputs.diagnostics),
        ):
            metrics.registry.register(
                Reading(family, lambda name=name, queue=queue: lost(name, queue.dropped))  # type: ignore[misc]  # bound now
            )
        metrics.export(families.WORKERS, lambda: len(self._feed.links) if self._feed else 0)
        metrics.export(families.CONNECTIONS, lambda: self._sum("connections"))
        metrics.export(families.IN_FLIGHT, lambda: self._sum("in_flight"))
        if self.settings.decisions.listen:
            metrics.export(families.DECISIONS_CONNECTIONS, lambda: self._sum("decisions_connections"))

    def _reports(self) -> list[Mapping[str, Any]]:
        return list(self._feed.reports.values()) if self._feed else []

    def _present(self) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """Of the workers that are there."""
        if self._feed is not None:
            for link in sorted(self._feed.links, key=lambda each: each.worker):
                if link.worker in self._feed.reports:
                    yield link.worker, self._feed.reports[link.worker]

    def _sum(self, name: str) -> int:
        return sum(report["under_way"][name] for _, report in self._present())

    async def count(self) -> None:
        if self._feed is not None:
            await self._feed.count()
            self.metrics.show(each["counted"] for each in self._feed.reports.values())

    def refusals(self) -> list[dict[str, Any]]:
        each = (report["recent"] for report in self._reports())
        return list(islice(merge(*each, key=lambda one: one["at"], reverse=True), KEPT))

    def under_way(self) -> dict[str, int]:
        return {name: self._sum(name) for name in ("connections", "in_flight")}

    def describe(self, keys: KeysByIssuer) -> dict[str, Any]:
        return {**super().describe(keys), "workers": [_described(*each) for each in self._present()]}


def _described(number: int, report: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "worker": number,
        "pid": report["pid"],
        "applied": report["applied"],
        "decisions": sum(count for *_, count in report["counted"]["decisions"]),
        **report["under_way"],
    }
