"""The User service's HTTP interface for sidecars. The only module that knows its paths.

Every call raises `Unavailable` when there is no usable answer and `MalformedMessage` when the answer breaks
the contract.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from math import inf, nan
from typing import Any, Literal
from urllib.parse import quote

import aiohttp
from yarl import URL

from authz_sidecar.core import wire
from authz_sidecar.core.causes import History
from authz_sidecar.core.documents import parse_instant, parse_integer
from authz_sidecar.core.entities import Change, Entity, Position
from authz_sidecar.core.errors import HistoryGone, MalformedMessage, Unavailable
from authz_sidecar.core.naming import Fields
from authz_sidecar.core.ports import Clock
from authz_sidecar.core.proofs import NEVER, Proved, mapped
from authz_sidecar.core.wire import CheckAnswer, Digest, Head, SnapshotEnd, SubjectAnswer
from authz_sidecar.reasons import reason

PULL = aiohttp.ClientTimeout(total=10, sock_connect=1, sock_read=5)
WHOLE = aiohttp.ClientTimeout(total=1800, sock_connect=2, sock_read=30)
CONTRACT = {"Authz-Contract": "2"}
"""The version of the wire contract that we speak: states and digests hold what it knows."""
MAX_LINE = 16 * 1024 * 1024
MAX_ANSWER = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ChangeStream:
    """Changes in order. `head`, `now`, `audited_at` (Unix seconds) are the service's, `sent_at` on our clock.

    `proved` is what the service can say now that its log contains for sure of all that is committed.
    """

    head: int
    now: float
    audited_at: float | None
    sent_at: float
    proved: Proved
    lines: AsyncIterator[bytes]
    """The messages as they were sent. Read these or `changes`, once."""
    subject_fields: Fields = None
    """By which the log names users in this epoch; `None` where it is not said."""

    @property
    def changes(self) -> AsyncIterator[Change]:
        return _parsed(self.lines)


@dataclass(frozen=True, slots=True)
class Confirmation:
    """At `sent_at` on our clock or later, `position` was on the service's history, and `head` the newest."""

    position: Position
    head: int
    sent_at: float
    audited_at: float = NEVER
    """On our clock, too."""
    subject_fields: Fields = None


@dataclass(frozen=True, slots=True)
class SnapshotStream:
    """All entities at `position`; iterating raises `MalformedMessage` at the end of a truncated one.

    `sent_at` and `audited_at` are on our clock.
    """

    position: Position
    sent_at: float
    audited_at: float
    entities: AsyncIterator[Entity]
    subject_fields: Fields = None


class UserServiceClient:
    """`base_url` of the User service, `token` the service credential. The session stays the caller's."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        base_url: str,
        token: str,
        clock: Clock,
        *,
        answer_seconds: float = 2.0,
    ) -> None:
        """`answer_seconds`: what a short answer may take; pulls and snapshots have limits of their own."""
        self._session = session
        self._answer = aiohttp.ClientTimeout(total=answer_seconds, sock_connect=1)
        self._base = f"{base_url.rstrip('/')}/authz/v1"
        self._clock = clock
        self.clock_offset = nan
        """Seconds by which the service's clock is ahead of ours, as far as its latest changes told."""
        self.use_token(token)

    def use_token(self, token: str) -> None:
        """Another service credential, from the next call on."""
        self._headers = {"Authorization": f"Bearer {token}", **CONTRACT}

    async def head(self) -> Head:
        async with self._open("GET", "head", self._answer) as response:
            return wire.parse_head(await _body(response))

    @asynccontextmanager
    async def changes(
        self,
        after: Position,
        limit: int | None = None,
        *,
        proof: Literal["required", "optional"] = "required",
    ) -> AsyncIterator[ChangeStream]:
        """What follows `after`. Raises `HistoryGone` when the service cannot tell from there.

        Where proof is optional the service also answers when what it says proves nothing.
        """
        params = {"epoch": after.epoch, "after": str(after.revision)}
        if after.at is not None:
            params["at"] = after.at
        if limit is not None:
            params["limit"] = str(limit)
        if proof == "optional":
            params["proof"] = proof
        sent_at = self._clock.monotonic()
        async with self._open("GET", "changes", PULL, params) as response:
            head = parse_integer(response.headers.get("Authz-Head"), "Authz-Head")
            now = parse_instant(response.headers.get("Authz-Now", ""))
            self.clock_offset = now - self._clock.wall()
            audited = response.headers.get("Authz-Audited-At")
            audited_at = None if audited is None else parse_instant(audited)
            proved = _proved(response.headers)
            fields = wire.parse_subject_fields(response.headers.get("Authz-Subject-Fields"))
            yield ChangeStream(head, now, audited_at, sent_at, proved, _lines(response), fields)

    async def confirm(self, position: Position) -> Confirmation | None:
        """`None` when the service's log does not go on from this point, or belongs to another history."""
        try:
            async with self.changes(position, limit=1) as stream:
                sent_at = stream.sent_at
                audited_at = mapped(stream.audited_at, sent_at - stream.now, sent_at)
                return Confirmation(position, stream.head, sent_at, audited_at, stream.subject_fields)
        except HistoryGone:
            return None

    @asynccontextmanager
    async def snapshot(self, bucket: int = 0, buckets: int = 1) -> AsyncIterator[SnapshotStream]:
        """All entities, or those of one bucket; nothing is held in memory."""
        sent_at = self._clock.monotonic()
        params = {"buckets": str(buckets), "bucket": str(bucket)}
        async with self._open("GET", "snapshot", WHOLE, params) as response:
            lines = _lines(response)
            head = wire.parse_snapshot_head(await anext(lines, b""))
            audited_at = NEVER
            if head.now is not None:
                audited_at = mapped(head.audited_at, sent_at - head.now, sent_at)
            entities = _entities(lines, head)
            yield SnapshotStream(head.position, sent_at, audited_at, entities, head.subject_fields)

    async def present(self) -> Confirmation:
        """Where the service stands: the head of a snapshot, of which no more is read."""
        async with self.snapshot() as snapshot:
            position, fields = snapshot.position, snapshot.subject_fields
            return Confirmation(position, position.revision, snapshot.sent_at, snapshot.audited_at, fields)

    async def digest(self, buckets: int) -> Digest:
        async with self._open("GET", "digest", WHOLE, {"buckets": str(buckets)}) as response:
            return wire.parse_digest(await _body(response))

    async def subject(self, sub: str) -> SubjectAnswer:
        """The user `sub` and its groups, or the certainty that there is none."""
        path = f"subjects/{quote(sub, safe='')}"
        async with self._open("GET", path, self._answer, missing=True) as response:
            body = await _body(response)
            return (wire.parse_no_subject if response.status == 404 else wire.parse_subject)(body, sub)

    async def history(self, sub: str, permissions: Iterable[str]) -> History | None:
        """What may have changed whether `sub` holds these; `None` where no history is kept."""
        params = [("sub", sub), *(("permission", label) for label in permissions)]
        async with self._open("GET", "history", self._answer, params, missing=True) as response:
            return None if response.status == 404 else wire.parse_history(await _body(response), sub)

    async def check(
        self,
        sub: str,
        permission: str | None,
        token_generation: int | None,
        issued_after: float = inf,
    ) -> CheckAnswer:
        """The service's own decision. `issued_after`: as an `Identity` has it; `inf` asks about no token."""
        question = {
            "sub": sub,
            "permission": permission,
            "token_generation": token_generation,
            "issued_after": _instant(issued_after),
        }
        try:
            return await self._ask(question)
        except Unavailable as error:
            if not _connection_had_died(error.__cause__):
                raise
            return await self._ask(question)  # asking twice does no harm

    async def _ask(self, question: Mapping[str, Any]) -> CheckAnswer:
        async with self._open("POST", "check", self._answer, json=question) as response:
            return wire.parse_check(await _body(response))

    async def permissions(self) -> frozenset[str]:
        """The permission labels that exist."""
        async with self._open("GET", "permissions", self._answer) as response:
            return wire.parse_labels(await _body(response))

    @asynccontextmanager
    async def _open(
        self,
        method: str,
        path: str,
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 (aiohttp enforces it)
        params: Mapping[str, str] | list[tuple[str, str]] | None = None,
        *,
        json: Any = None,
        missing: bool = False,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        url = URL(f"{self._base}/{path}", encoded=True)
        place = f"User service at {url.host}:{url.port}: {path}"
        try:
            async with self._session.request(
                method,
                url.with_query(params),
                json=json,
                headers=self._headers,
                timeout=timeout,
                allow_redirects=False,  # the credential goes nowhere else
            ) as response:
                _check_status(response, place, missing=missing)
                yield response
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(f"{place}: {reason(error)}") from error


def _proved(headers: Mapping[str, str]) -> Proved:
    if "Authz-Unproved" not in headers:
        return "all"
    return "losses" if headers.get("Authz-Proved") == "losses" else "nothing"


def _instant(issued_after: float) -> float | None:
    """JSON knows no infinity: a token of unknown age is of 1970, and what is no token is of no time."""
    return None if issued_after == inf else max(0.0, issued_after)


def _connection_had_died(cause: BaseException | None) -> bool:
    """Kept connections end at any time; aiohttp repeats requests on a new one only for safe methods."""
    died = isinstance(cause, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError)
    return died and not isinstance(cause, aiohttp.ClientConnectorError)


def _check_status(response: aiohttp.ClientResponse, place: str, *, missing: bool) -> None:
    if response.status == 410:
        raise HistoryGone(f"{place}: the log does not go on from here")
    if response.status in (401, 403):
        raise Unavailable(f"{place}: our service token is refused ({response.status})")
    if response.status != 200 and not (missing and response.status == 404):
        raise Unavailable(f"{place}: status {response.status}")


async def _body(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MAX_ANSWER:
            raise MalformedMessage(f"answer: longer than {MAX_ANSWER} bytes")
    return bytes(body)


async def _parsed(lines: AsyncIterator[bytes]) -> AsyncIterator[Change]:
    async for line in lines:
        yield wire.parse_change(line)


async def _entities(lines: AsyncIterator[bytes], head: wire.SnapshotHead) -> AsyncIterator[Entity]:
    count = 0
    async for line in lines:
        item = wire.parse_snapshot_line(line, head.position.revision)
        if isinstance(item, SnapshotEnd):
            if item.entities != count or head.entities != count:
                raise MalformedMessage(f"snapshot: {count} entities came, {head.entities} were announced")
            return
        count += 1
        yield item
    raise MalformedMessage(f"snapshot: cut off after {count} of {head.entities} entities")


async def _lines(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The lines of a body, at most `MAX_LINE` bytes each."""
    begun: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_any():
        *ended, rest = chunk.split(b"\n")
        for end in ended:
            line = b"".join([*begun, end])
            begun, size = [], 0
            if line:
                yield line
        begun.append(rest)
        size += len(rest)
        if size > MAX_LINE:
            raise MalformedMessage(f"line: longer than {MAX_LINE} bytes")
    if line := b"".join(begun):
        yield line
