"""A process that serves requests, as one of several. It decides from what the follower feeds it."""

from __future__ import annotations

import logging
import os
from contextlib import AsyncExitStack
from functools import cached_property
from typing import Any

from aiohttp import ClientSession, web

from authz_sidecar import handover
from authz_sidecar.admin import health
from authz_sidecar.app import Sidecar
from authz_sidecar.authn.keys import KeysByIssuer
from authz_sidecar.authz.cached import CachedAuthorizer
from authz_sidecar.config import descriptors
from authz_sidecar.config.configuration import Configuration
from authz_sidecar.config.issuer import user_fields
from authz_sidecar.config.limits import ProxyLimits, divided
from authz_sidecar.core import naming
from authz_sidecar.core.ports import Authorizer, Clock
from authz_sidecar.fair import FairSite
from authz_sidecar.feed import messages
from authz_sidecar.feed.followed import Follower, MirroredReplica, followed_keys
from authz_sidecar.feed.messages import Message
from authz_sidecar.feed.mirror import Mirror
from authz_sidecar.listening import Listeners
from authz_sidecar.observe.output import Outputs
from authz_sidecar.pipeline import Pipeline
from authz_sidecar.reloading import Report
from authz_sidecar.source import UserServiceClient
from authz_sidecar.workers.place import DONE, STARTED, Place

START_SECONDS = 5.0
"""How long a worker that cannot decide yet leaves connections to the others."""

logger = logging.getLogger(__name__)


class WorkerSidecar(Sidecar):
    """Listens on the ports on which requests come in; has no subscription, no store and no admin port."""

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
        self._follower = Follower(place.rendezvous, self._answer)
        self._mirrored: MirroredReplica | None = None
        self._carries_on = False
        """Whether what the one before has counted is included."""

    @property
    def limits(self) -> ProxyLimits:
        """Its share of those of the sidecar, or what of it this process can keep."""
        shares = list(divided(self.settings.limits, self.settings.workers))
        return descriptors.fitting(shares[self._place.number - 1], self.ports)

    async def start(self) -> None:
        """From its first moment on it can be ended."""
        self._place.hear({handover.TAKEN: self.leave, DONE: self.stop.set})
        await super().start()

    def tell(self) -> None:
        replaces, number = self._place.replaces, self._place.number
        if replaces is None:
            logger.info("worker %d starts", number)
        else:
            logger.warning("worker %d starts: %s", number, replaces)

    async def start_keys(self, session: ClientSession) -> KeysByIssuer:
        keys, self._hear_keys = followed_keys(self.issuers, self.clock, self._follower)
        return keys

    async def start_authorizer(self, session: ClientSession) -> Authorizer:
        if self.settings.validation == "request":
            return await super().start_authorizer(session)
        settings, clock = self.settings.replica, self.clock
        mirror = Mirror(settings.near_cache_size, settings.max_staleness, settings.audit_bound)
        mirrored = self._mirrored = MirroredReplica(mirror, self._follower, clock)
        authorizer = CachedAuthorizer(mirrored, settings.max_staleness, settings.audit_bound)
        self.ready["replica"] = health.loaded(lambda: mirrored.was_live)
        self.decides["fresh"] = health.decides(lambda: authorizer.undecided(clock.monotonic()))
        fields = user_fields(self.issuers)
        self.decides["user_fields"] = health.names(lambda: naming.missing(mirror.near.subject_fields, fields))
        self.in_background("staleness", mirrored.watch_staleness())
        return authorizer

    async def open(self, decides: Pipeline, keys: KeysByIssuer) -> None:
        """Follow the follower; accept connections when they can be decided on."""
        place, serving, mirrored = self._place, self.serving, self._mirrored
        await self.serve_requests(self.listeners, decides)
        if mirrored is not None and serving.server is not None:
            mirrored.watch(serving.server.reconsider)
        self.in_background("follower", self._follower.follow(self._heard, self._hello))
        failing = await health.until_well(self.decides, self._patience)
        if failing:
            logger.warning("worker %d accepts connections, though: %s", place.number, failing)
        await place.turn()

        def may_accept() -> bool:
            return place.shares.may_accept(place.number - 1, serving.places_taken)

        def fair(runner: web.BaseRunner, sock: Any) -> web.BaseSite:
            return FairSite(runner, sock, may_accept)

        await self.listeners.open(self.stack, fair)
        self.stack.callback(place.shares.leave, place.number - 1)
        place.tell(STARTED)

    @property
    def _patience(self) -> float | None:
        """Seconds that connections are left to others, or wait, while it cannot decide; `None`: for ever."""
        if self._place.joins:
            return None
        first = self.listeners.handed and self._place.replaces is None
        return self.settings.handover.seconds if first else START_SECONDS

    @cached_property
    def listeners(self) -> Listeners:
        return self._place.listeners

    def reload_soon(self) -> None:
        """The follower says when."""

    def told_of_reload(self, report: Report) -> None:
        """The follower says it in the log, when all have done it; and warns of labels."""
        self.expect_rules()

    def warn_of_unknown_labels(self, user_service: UserServiceClient) -> None:
        """The follower does."""

    # What the follower says, and asks

    def _hello(self) -> Message:
        """What it is told of this worker."""
        near = None if self._mirrored is None else self._mirrored.near
        stands = (None, None) if near is None else (near.position, near.subject_fields)
        return messages.hello(self._place.number, os.getpid(), stands, self.reloader.in_force.contents)

    def _heard(self, message: Message) -> None:
        if message["type"] == "keys":
            self._hear_keys(message)
        elif message["type"] == "counted":
            if not self._carries_on:  # it is told on each line until the follower knows this process
                self.metrics.add(message["counted"])
            self._carries_on = True
        elif message["type"] == "differs":
            self.in_background("reload", self._catch_up())
        elif self._mirrored is not None:
            self._mirrored.take(message)

    async def _catch_up(self) -> None:
        await self.reloader.reload("the follower")

    async def _answer(self, question: Message) -> Message:
        if question["what"] == "reload":
            report = await self.reloader.reload("the follower")
            problems = list(report.problems)
            if not problems and self.reloader.in_force.contents != question["contents"]:
                problems = ["the files have changed meanwhile"]
            return {"problems": problems}
        return self._report()

    def _report(self) -> Message:
        """What this process has counted."""
        serving, outputs = self.serving, self.outputs
        position = None if self._mirrored is None else self._mirrored.near.position
        return {
            "counted": self.metrics.counted(),
            "lost": {"decisions": outputs.decisions.dropped, "diagnostics": outputs.diagnostics.dropped},
            "recent": self.refusals(),
            "under_way": {**self.under_way(), "decisions_connections": serving.decisions_connections},
            "applied": None if position is None else position.revision,
        }
