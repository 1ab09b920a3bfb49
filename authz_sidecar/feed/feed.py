"""The follower's side: brings each worker to where the follower stands, and answers its questions."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any, Final

from authz_sidecar.authn.keys import KeyRefresher, Published
from authz_sidecar.core.entities import EntityKey, Position, RevisionToken
from authz_sidecar.core.errors import MalformedMessage, Unavailable
from authz_sidecar.core.naming import Fields
from authz_sidecar.feed import messages
from authz_sidecar.feed.line import Line
from authz_sidecar.feed.messages import Message
from authz_sidecar.feed.rendezvous import Rendezvous
from authz_sidecar.replica.replica import Replica
from authz_sidecar.replica.waiting import FILL_TIMEOUT, MAX_WAITING, MAX_WAITING_OF_ONE, Arrival

ANSWER_SECONDS: Final = 2.0
"""How long a worker may take to say what it has counted."""

Report = Mapping[str, Any]
"""What a worker has counted, as it told it last."""

logger = logging.getLogger(__name__)


class Feed:
    """All workers that are there."""

    def __init__(
        self,
        replica: Replica | None,
        keys: Mapping[str, KeyRefresher],
        contents: Mapping[str, str | None],
    ) -> None:
        """`replica`: `None` where the User service is asked each time. `contents`: of what is in force."""
        self.replica = replica
        self.keys = keys
        self.contents = contents
        self.links: set[Link] = set()
        self.reports: dict[int, Report] = {}
        """By worker, also of one that has ended and is not yet replaced."""
        if replica is not None:
            replica.watch(self.moved, self.moved)
        for each in keys.values():
            each.on_tried = self._tell_keys

    async def serve(self, rendezvous: Rendezvous) -> None:
        """Takes the lines of workers, until cancelled."""
        loop = asyncio.get_running_loop()
        called = asyncio.Event()
        loop.add_reader(rendezvous.fileno(), called.set)
        try:
            while True:
                await called.wait()
                called.clear()
                while (end := rendezvous.answer()) is not None:
                    await loop.create_unix_connection(Link(self).line, sock=end)
        finally:
            loop.remove_reader(rendezvous.fileno())
            for link in list(self.links):
                link.cut()

    def moved(self, _keys: Collection[EntityKey] | None = None) -> None:
        """The follower has moved, or its proof has."""
        for link in list(self.links):
            link.bring()

    def _tell_keys(self) -> None:
        for link in list(self.links):
            link.tell_keys()

    async def count(self) -> None:
        """Have every worker tell what it has counted. Who does not in time keeps what it told before."""
        await asyncio.gather(*(link.count() for link in list(self.links)))

    async def reload(self, contents: Mapping[str, str | None]) -> list[str]:
        """Have every worker put these contents into force. What has gone wrong."""
        self.contents = contents
        found = await asyncio.gather(*(link.reload() for link in list(self.links)))
        return [problem for problems in found for problem in problems]


class Link:
    """One worker, from its first word to the end of its line."""

    def __init__(self, feed: Feed) -> None:
        self.worker = 0
        self.at: Position | None = None
        """Where it has been brought to."""
        self._fields: Fields = None
        self._feed = feed
        self._line = Line(self._heard, self._answer, self._lost)
        self._waiting: Counter[str] = Counter()
        """Who waits, by the user who asks."""
        self._brought = asyncio.Event()
        """It has been brought to where the follower stands, and goes with it."""
        self._pid = 0
        self._forgotten = 0
        self._told_proof: Message | None = None
        self._told_keys: dict[str, Published] = {}

    def line(self) -> Line:
        return self._line

    def cut(self) -> None:
        self._line.cut()

    def _lost(self) -> None:
        self._feed.links.discard(self)

    def _heard(self, message: Message) -> None:
        if message["type"] != "hello":
            raise MalformedMessage(f"type: {message['type']} is not known here")
        feed = self._feed
        self.worker, self._pid = message["worker"], message["pid"]
        self.at = messages.parse_position(message["position"])
        self._fields = messages.parse_fields(message)
        feed.links.add(self)
        before = feed.reports.get(self.worker)
        if before is not None and before["pid"] != self._pid:
            self._line.send({"type": "counted", "counted": before["counted"]})
        self.bring()
        self.tell_keys()
        if message["contents"] != feed.contents:
            self._line.send({"type": "differs", "contents": dict(feed.contents)})

    def bring(self) -> None:
        """To where the follower stands, and to its proof."""
        near = self._feed.replica.near if self._feed.replica is not None else None
        if near is None or near.position is None or near.history is None:
            return
        changes = None if self.at is None else near.history.after(self.at)
        # What the store had wrong, it may have, too; and users may be named otherwise there.
        if self._forgotten != near.forgotten or self._fields != near.subject_fields:
            changes = None
        elif changes is None and self._knows_more:
            return
        if changes is None:
            self._line.send(messages.stand(near.position, near.subject_fields))
            self._told_proof, changes = None, []
        for change in changes:
            self._line.send(messages.change(change))
        self._forgotten, self._fields = near.forgotten, near.subject_fields
        self.at = near.position
        self._brought.set()
        self._tell_proof()

    @property
    def _knows_more(self) -> bool:
        """Whether it stands somewhere, and this follower, which is new, has proved nothing yet.

        It goes on deciding by what was proved to the one before, as long as that is young enough.
        """
        replica = self._feed.replica
        unproved = replica is not None and replica.proofs.proven_at is None
        return unproved and self.at is not None and not self._brought.is_set()

    def _tell_proof(self) -> None:
        if self._feed.replica is None:
            return
        proofs = self._feed.replica.proofs
        proof = messages.proof(proofs.proven_at, proofs.audited_at, proofs.losses_proven_at)
        if proof != self._told_proof:
            self._told_proof = proof
            self._line.send(proof)

    def tell_keys(self) -> None:
        for issuer, keys in self._feed.keys.items():
            if self._told_keys.get(issuer) != keys.published:
                self._told_keys[issuer] = keys.published
                self._line.send(messages.signing_keys(issuer, keys.published))

    async def count(self) -> None:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                report = await self._line.ask({"what": "report"})
        except (Unavailable, TimeoutError):
            return
        self._feed.reports[self.worker] = {**report, "pid": self._pid}

    async def reload(self) -> list[str]:
        """What has gone wrong."""
        try:
            async with asyncio.timeout(10 * ANSWER_SECONDS):
                answer = await self._line.ask({"what": "reload", "contents": dict(self._feed.contents)})
        except TimeoutError:
            return [f"worker {self.worker}: does not answer"]
        except Unavailable:
            return []  # it has ended; the one that takes its place is told
        return [f"worker {self.worker}: {problem}" for problem in answer["problems"]]

    # What a worker asks

    async def _answer(self, question: Message) -> Message:
        what = question["what"]
        if what == "keys":
            await self._feed.keys[question["issuer"]].ask()
            return {}
        if self._feed.replica is None:
            raise MalformedMessage(f"what: there is no copy to ask for {what}")
        if what == "entities":
            return await self._entities(self._feed.replica, question)
        return await self._arrival(self._feed.replica, question)

    def _has_come_by(self, position: Position | None) -> bool:
        """Whether the worker may use what is read there: it has been there itself."""
        at = self.at
        if at is None or position is None:
            return False
        return position.epoch == at.epoch and position.revision <= at.revision

    async def _is_brought(self, sub: str) -> bool:
        """Whether the worker stands where the follower does, or does so soon.

        Until then it can use nothing of where the follower stands, which may be new and have proved nothing
        yet. `sub` is the user who asks.
        """
        if self._brought.is_set():
            return True
        if self._waiting.total() >= MAX_WAITING or self._waiting[sub] >= MAX_WAITING_OF_ONE:
            return False
        self._waiting[sub] += 1
        try:
            async with asyncio.timeout(FILL_TIMEOUT):
                return await self._brought.wait()
        except TimeoutError:
            return False
        finally:
            self._waiting -= Counter([sub])

    async def _arrival(self, replica: Replica, question: Message) -> Message:
        if not await self._is_brought(question["sub"]):
            return {"arrival": Arrival.LATE.name}
        wanted = RevisionToken.parse(question["revision"])
        arrival = await replica.waiting.for_revision(wanted, question["asked_at"], question["sub"])
        return {"arrival": arrival.name}

    async def _entities(self, replica: Replica, question: Message) -> Message:
        keys, near, sub = messages.parse_keys(question["keys"]), replica.near, question["sub"]
        known = self._has_come_by(near.position) or await self._is_brought(sub)
        if known and None in map(near.entity, keys):
            known = await replica.waiting.for_entities(keys, sub)
        known = known and (self._has_come_by(near.position) or await self._is_brought(sub))
        at_hand = [entity for key in keys if (entity := near.entity(key)) is not None]
        return {**messages.entities(near.position, at_hand), "known": known}
