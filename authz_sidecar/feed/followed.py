"""A worker's side: keeps a line to the follower, and waits for what only the follower can find out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine, Iterable
from functools import partial
from math import isfinite
from typing import Any, Final

from authz_sidecar.authn.keys import FollowedKeys, KeysByIssuer
from authz_sidecar.config.issuer import Issuer
from authz_sidecar.core.entities import EntityKey, RevisionToken
from authz_sidecar.core.errors import Unavailable
from authz_sidecar.core.ports import Clock
from authz_sidecar.feed import messages
from authz_sidecar.feed.line import Answering, Line
from authz_sidecar.feed.messages import Message
from authz_sidecar.feed.mirror import Mirror
from authz_sidecar.feed.rendezvous import Rendezvous
from authz_sidecar.replica.waiting import BEHIND_TIMEOUT, FILL_TIMEOUT, Arrival, SingleFlight

AGAIN_SECONDS: Final = 0.05
"""Between two attempts to reach the follower."""
KEYS_SECONDS: Final = 3.0
"""What a request waits for a signing key."""
REVISION_SECONDS: Final = 2 * BEHIND_TIMEOUT
MAX_FILLS: Final = 1_000

logger = logging.getLogger(__name__)


class Follower:
    """The follower, as a worker sees it: there, or soon there again."""

    def __init__(self, rendezvous: Rendezvous, answering: Answering) -> None:
        """`answering` answers what it asks."""
        self._rendezvous = rendezvous
        self._answering = answering
        self._line: Line | None = None
        self._there = asyncio.Event()

    async def follow(self, heard: Callable[[Message], None], hello: Callable[[], Message]) -> None:
        """For ever. `heard` gets what it says; `hello` begins each line."""
        loop = asyncio.get_running_loop()
        while True:
            ended = asyncio.Event()
            line = Line(heard, self._answering, ended.set)
            try:
                end = self._rendezvous.call()
            except Unavailable:  # so many have called already: there has been no follower for a while
                await asyncio.sleep(AGAIN_SECONDS)
                continue
            await loop.create_unix_connection(partial(_same, line), sock=end)
            line.send(hello())
            self._line = line
            self._there.set()
            try:
                await ended.wait()
            finally:
                self._there.clear()
                line.cut()
            await asyncio.sleep(AGAIN_SECONDS)

    async def ask(self, question: Message) -> Message:
        """The answer of the follower, or of its successor. Waits as long as its caller does."""
        while True:
            await self._there.wait()
            if self._line is not None:
                try:
                    return await self._line.ask(question)
                except Unavailable:
                    await asyncio.sleep(AGAIN_SECONDS)


def _same(line: Line) -> Line:
    return line


class MirrorWaiting:
    """Implements `authz.cached.WaitingRoom`: whoever waits does so in the follower's."""

    def __init__(self, follower: Follower, mirror: Mirror) -> None:
        self._follower = follower
        self._mirror = mirror
        self._fills: SingleFlight[bool] = SingleFlight(MAX_FILLS)

    async def for_entities(self, keys: tuple[EntityKey, ...], sub: str) -> bool:
        """Fetch these entities of the user `sub`. Whether they are at hand now, known absences included."""
        try:
            async with asyncio.timeout(FILL_TIMEOUT):
                return await self._fills.call(keys, partial(self._fill, keys, sub))
        except (TimeoutError, Unavailable):
            return False

    async def _fill(self, keys: tuple[EntityKey, ...], sub: str) -> bool:
        question = {"what": "entities", "keys": messages.keys_of(keys), "sub": sub}
        try:
            async with asyncio.timeout(FILL_TIMEOUT):
                answer = await self._follower.ask(question)
        except TimeoutError:  # whoever began to wait has gone by now
            return False
        read_at, found = messages.parse_entities(answer)
        return bool(answer["known"]) and read_at is not None and self._mirror.near.admit(found, read_at)

    async def for_revision(self, wanted: RevisionToken, asked_at: float, sub: str) -> Arrival:
        """As `replica.waiting.Waiting` has it. Instants are of the clock that all processes share."""
        question = {"what": "revision", "revision": str(wanted), "asked_at": asked_at, "sub": sub}
        try:
            async with asyncio.timeout(REVISION_SECONDS):
                answer = await self._follower.ask(question)
        except TimeoutError:
            return Arrival.LATE
        return Arrival[answer["arrival"]]


class MirroredReplica:
    """Implements `authz.cached.Kept`: a mirror, and who waits for it."""

    def __init__(self, mirror: Mirror, follower: Follower, clock: Clock) -> None:
        self._mirror = mirror
        self.near = mirror.near
        self.proofs = mirror.proofs
        self.waiting = MirrorWaiting(follower, mirror)
        self.now = clock.monotonic
        self.was_live = False
        self._allows = False
        """Whether what lets somebody through was proved to be true, until it is told that it is no more."""
        self._changed: Callable[[Collection[EntityKey] | None], None] = lambda _: None

    def watch(self, changed: Callable[[Collection[EntityKey] | None], None]) -> None:
        """As `replica.replica.Replica` has it."""
        self._changed = changed

    def take(self, message: Message) -> None:
        """What the follower says of the copy. Raises MalformedMessage."""
        changed = self._mirror.take(message)
        self.was_live = self.was_live or self.proofs.fresh_for(self.now()) >= 0.0
        self._allows = self._allows or self.proofs.allows_for(self.now()) >= 0.0
        if changed is None or changed:
            self._changed(changed)

    async def watch_staleness(self) -> None:
        """What is under way when proof runs out was decided by what can no longer be proved."""
        while True:
            left = self.proofs.allows_for(self.now())
            if self._allows and left < 0.0:
                self._allows = False
                self._changed(None)
            await asyncio.sleep(left + 0.001 if isfinite(left) and left >= 0.0 else 1.0)


def followed_keys(
    issuers: Iterable[Issuer], clock: Clock, follower: Follower
) -> tuple[KeysByIssuer, Callable[[Message], None]]:
    """The keys of all issuers, as the follower fetches them, and what takes the follower's word of them."""

    def asking(issuer: str) -> Callable[[], Coroutine[Any, Any, None]]:
        async def ask() -> None:
            try:
                async with asyncio.timeout(KEYS_SECONDS):
                    await follower.ask({"what": "keys", "issuer": issuer})
            except TimeoutError:
                raise Unavailable("the follower does not answer") from None

        return ask

    keys = {each.issuer: FollowedKeys(each, clock, asking(each.issuer)) for each in issuers}

    def hear(message: Message) -> None:
        keys[message["issuer"]].take(messages.parse_signing_keys(message))

    return KeysByIssuer(keys), hear
