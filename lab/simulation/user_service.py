"""The User service: its HTTP for sidecars, over the truth, with what can go wrong with it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from hashlib import sha256
from itertools import pairwise
from random import Random
from typing import Any

from lab.simulation.clocks import HostClock
from lab.simulation.history import Database, EntityId, Node, State, dumps, rfc3339
from lab.simulation.http import Answer, Request
from lab.simulation.keys import Signer
from lab.simulation.scheduler import Scheduler

AUDIT_SECONDS = 3.0
"""How old the oldest slice of the audit is, when all is well."""
SNAPSHOT_CHUNK = 8
"""Lines in one piece of a snapshot."""
GARBAGE = b"<!doctype html><title>Welcome</title>"


class UserService:
    """Implements `http.Service`. What is wrong with it is in its public attributes."""

    def __init__(
        self,
        scheduler: Scheduler,
        clock: HostClock,
        random: Random,
        database: Database,
        signer: Signer,
        limit: int,
    ) -> None:
        self.clock = clock
        self.database = database
        self.signer = signer
        self.down = False
        self.frozen = False
        self.failing = 0.0
        """The share of requests that are answered 500."""
        self.garbled = 0.0
        """The share of requests that are answered 200 with something else."""
        self.slow = 0.0
        """Seconds that an answer takes at most, after it was read from the database."""
        self.closed = False
        """Whether the database is away, for the service and for the relays."""
        self.keys_sick = False
        self.cannot_sequence = False
        self.snapshot_pace = 0.0
        self.snapshot_flaw: str | None = None
        self._scheduler = scheduler
        self._random = random
        self._limit = limit
        self.auditing = True
        self.audited = -math.inf
        """Since when all of the log is known to say what the tables say, in the world's time."""
        self._audited_at: str | None = None
        self._compared_at = -math.inf
        self._waiting: list[tuple[Request, Callable[[Answer], None]]] = []

    def audit(self) -> None:
        """One slice of the rolling comparison."""
        if self.auditing and not self.closed:
            self.audited = self._scheduler.now - AUDIT_SECONDS
            self._compared_at = self.clock.wall()
            self._audited_at = rfc3339(self._compared_at - AUDIT_SECONDS)
        self._scheduler.after(1.0, self.audit)

    def clocks(self) -> dict[str, Any]:
        """What the service says of its clock and its audit."""
        audited = {} if self._known_audit() is None else {"audited_at": self._audited_at}
        return audited | {"now": self._now()}

    def _known_audit(self) -> str | None:
        """It is not known while the clock shows less than when the newest part was compared."""
        return self._audited_at if self._compared_at <= self.clock.wall() else None

    def refuses(self) -> bool:
        return self.down

    def handle(self, request: Request, reply: Callable[[Answer], None]) -> None:
        if self.frozen:
            self._waiting.append((request, reply))
        elif not self.down:  # what was under way when it went down is lost with its connection
            answer = self._answer(request)
            if self.slow:
                self._scheduler.after(self._random.uniform(0.0, self.slow), lambda: reply(answer))
            else:
                reply(answer)

    def thaw(self) -> None:
        self.frozen = False
        waiting, self._waiting = self._waiting, []
        for request, reply in waiting:
            self.handle(request, reply)

    def sequence(self) -> bool:
        """Bring the log up to date; whether it is."""
        if self.closed:
            return False
        if self.cannot_sequence:
            return not self.database.pending
        self.database.sequence(self._scheduler.now)
        return True

    def _answer(self, request: Request) -> Answer:
        if request.path.endswith("/jwks.json"):
            return Answer(500, [b""]) if self.keys_sick else Answer(200, [self.signer.published()])
        draw = self._random.random()
        proved = self.sequence()
        if self.closed:
            return Answer(500, [b"<h1>Server Error (500)</h1>"])
        if draw < self.failing or not (proved or request.query.get("proof") == "optional"):
            return Answer(503, [b"{}"])
        if draw < self.failing + self.garbled:
            return Answer(200, [GARBAGE], {"Authz-Head": "soon"})
        name = request.path.removeprefix("/authz/v1/")
        if name.startswith("subjects/"):
            return self._subject(name.removeprefix("subjects/"))
        answer: Callable[[Request], Answer] = getattr(self, f"_{name}")
        return answer(request)

    def _head(self, _request: Request) -> Answer:
        return _json(self._position() | {"oldest": self.database.oldest} | self.clocks())

    def _permissions(self, _request: Request) -> Answer:
        return _json({"permissions": ["s.add", "s.change", "s.delete"]})

    def _changes(self, request: Request) -> Answer:
        database, after = self.database, int(request.query["after"])
        head = database.head
        if request.query["epoch"] != head.epoch or after > head.revision or after + 1 < database.oldest:
            return _json(self._position() | {"code": "history_gone"}, 410)
        at, following = request.query.get("at"), database.after(after)
        if at is not None and not (after >= database.oldest and self._named(after).at == at):
            return _json(self._position() | {"code": "history_gone"}, 410)
        limit = min(self._limit, int(request.query.get("limit", self._limit)))
        body = b"".join(node.line() + b"\n" for node in following[:limit])
        headers = {"Authz-Head": str(head.revision), "Authz-Now": self._now()}
        if (audited_at := self._known_audit()) is not None:
            headers["Authz-Audited-At"] = audited_at
        if database.pending:
            headers["Authz-Unproved"] = "pending"
            if database.only_gains:
                headers["Authz-Proved"] = "losses"
        return Answer(200, [body], headers)

    def _named(self, revision: int) -> Node:
        return self.database.log[revision - self.database.oldest]

    def _snapshot(self, request: Request) -> Answer:
        head = self.database.head
        buckets, bucket = int(request.query["buckets"]), int(request.query["bucket"])
        lines = [
            dumps({"kind": kind, "key": key, "revision": revision, "state": state})
            for (kind, key), (revision, state) in head.entities.items()
            if state is not None and (buckets == 1 or slot(kind, key) % buckets == bucket)
        ]
        first = {"type": "snapshot", "v": 1, **self._position(), "at": head.at, "entities": len(lines)}
        first |= self.clocks()
        whole = [dumps(first), *lines, dumps({"type": "end", "entities": len(lines)})]
        starts = [0, *range(1, len(whole), SNAPSHOT_CHUNK), len(whole)]
        chunks = [b"\n".join(whole[start:end]) + b"\n" for start, end in pairwise(starts)]
        if self.snapshot_flaw == "truncated":
            chunks[-1] = chunks[-1][: len(chunks[-1]) // 2]
        return Answer(200, chunks, pace=self.snapshot_pace, cut=self.snapshot_flaw == "cut")

    def _digest(self, request: Request) -> Answer:
        buckets = digests(self.database.head.entities, int(request.query["buckets"]))
        return _json(self._position() | {"buckets": buckets})

    def _subject(self, sub: str) -> Answer:
        head = self.database.head
        state = head.state(("user", sub))
        position = self._position() | {"at": head.at, "sub": sub}
        if state is None:
            return _json(position | {"code": "unknown_subject"}, 404)
        keys: list[EntityId] = [("user", sub), *(("group", group) for group in state["groups"])]
        entities = [
            {"kind": key[0], "key": key[1], "revision": head.entities[key][0], "state": head.state(key)}
            for key in keys
            if head.state(key) is not None
        ]
        return _json(position | {"entities": entities})

    def _position(self) -> dict[str, Any]:
        return {"epoch": self.database.head.epoch, "revision": self.database.head.revision}

    def _now(self) -> str:
        return rfc3339(self.clock.wall())


def slot(kind: str, key: str) -> int:
    return int.from_bytes(sha256(f"{kind}:{key}".encode()).digest()[:4])


def digests(entities: dict[EntityId, tuple[int, State | None]], count: int) -> Sequence[dict[str, object]]:
    """As the User service specifies them."""
    values, revisions = [0] * count, [0] * count
    for (kind, key), (revision, state) in entities.items():
        bucket = slot(kind, key) % count
        revisions[bucket] = max(revisions[bucket], revision)
        if state is not None:
            text = dumps({name: state[name] for name in sorted(state)}).decode()
            values[bucket] ^= int.from_bytes(sha256(f"{kind}\t{key}\t{revision}\t{text}".encode()).digest())
    pairs = zip(values, revisions, strict=True)
    return [{"digest": f"{value:064x}", "revision": revision} for value, revision in pairs]


def _json(document: object, status: int = 200) -> Answer:
    return Answer(status, [dumps(document)])
