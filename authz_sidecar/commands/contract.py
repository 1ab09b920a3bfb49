"""What a User service must answer for a sidecar to rely on it: each rule of the wire contract, tried.

The rules are those of `docs/contract.md`, read by the sidecar's own parsers. The service may change
meanwhile: what can be compared only at one revision is compared only there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import quote

from aiohttp import ClientError, ClientSession

from authz_sidecar.core import naming
from authz_sidecar.core.digest import Digests
from authz_sidecar.core.documents import Document
from authz_sidecar.core.entities import Change, Entity, EntityKey, Position, UserState
from authz_sidecar.core.errors import HistoryGone, MalformedMessage, Unavailable
from authz_sidecar.core.naming import SEPARATOR, Fields
from authz_sidecar.reasons import reason
from authz_sidecar.source import UserServiceClient

REASONS: Final = frozenset({"granted", "superuser", "denied", "inactive", "unknown_subject", "token_revoked"})
NOBODY: Final = "no such user/of course"
"""Its key must travel percent-encoded."""
NOTHING: Final = "no_such_app.no_such_permission"
BUCKETS: Final = 16
SOME: Final = 20
"""Users who are asked about."""
OTHER_EPOCH: Final = "00000000-0000-4000-8000-000000000000"
CALLS: Final = (
    ("GET", "head"),
    ("GET", f"changes?epoch={OTHER_EPOCH}&after=0"),
    ("GET", "snapshot"),
    ("GET", "digest?buckets=1"),
    ("GET", "permissions"),
    ("GET", "subjects/x"),
    ("POST", "check"),
)


class Broken(Exception):
    """A rule that the service does not keep: what it did."""


@dataclass
class Service:
    """The service, and what it has told so far."""

    session: ClientSession
    url: str
    token: str
    client: UserServiceClient
    position: Position = field(default_factory=lambda: Position("", 0, None))
    entities: Mapping[EntityKey, Entity] = field(default_factory=dict)
    subject_fields: Fields = None

    async def status(self, path: str, credential: str | None, method: str = "GET") -> int:
        headers = {} if credential is None else {"Authorization": f"Bearer {credential}"}
        url = f"{self.url.rstrip('/')}/authz/v1/{path}"
        async with self.session.request(method, url, headers=headers, allow_redirects=False) as response:
            return response.status

    async def raw_head(self) -> Document:
        """The fields that a sidecar does not need, too."""
        url = f"{self.url.rstrip('/')}/authz/v1/head"
        async with self.session.get(url, headers={"Authorization": f"Bearer {self.token}"}) as response:
            return Document.parse(await response.read(), "head")


async def outcomes(service: Service) -> AsyncIterator[tuple[str, str]]:
    """Each rule, and how it was broken; empty where it was kept. Later rules need the first three."""
    for name, rule in RULES.items():
        try:
            await rule(service)
        except (Broken, MalformedMessage, Unavailable) as error:
            yield name, str(error)
            if name in NEEDED:
                return
        except HistoryGone as error:
            yield name, f"410 where the log goes on: {error}"
        except (ClientError, OSError, TimeoutError) as error:
            yield name, reason(error)
        else:
            yield name, ""


async def _credential(service: Service) -> None:
    for method, path in CALLS:
        for credential in (None, "wrong"):
            if (status := await service.status(path, credential, method)) != 401:
                said = "no credential" if credential is None else "a wrong credential"
                raise Broken(f"{method} /authz/v1/{path} with {said}: {status}, not 401")


async def _head(service: Service) -> None:
    head = await service.client.head()
    oldest = (await service.raw_head()).integer("oldest")
    if oldest > head.revision:
        raise Broken(f"oldest is {oldest}, newer than the head {head.revision}")


async def _snapshot(service: Service) -> None:
    async with service.client.snapshot() as snapshot:
        found = [entity async for entity in snapshot.entities]
        service.position, service.subject_fields = snapshot.position, snapshot.subject_fields
    service.entities = {entity.key: entity for entity in found}
    if len(service.entities) != len(found):
        raise Broken("an entity is there twice")
    if gone := next((entity for entity in found if entity.state is None), None):
        raise Broken(f"{gone.key.kind} {gone.key.key} is there without a state")
    if service.position.at is None:
        raise Broken("its first line has no `at`")


async def _fields(service: Service) -> None:
    head = (await service.client.head()).subject_fields
    async with service.client.changes(service.position, limit=1) as stream:
        followed = stream.subject_fields
    if not head == followed == service.subject_fields:
        raise Broken(f"{head} in head, {followed} with changes, {service.subject_fields} in a snapshot")
    others = {f"{field}{SEPARATOR}" for field in (head or ())[1:]}
    for kind, key in service.entities:
        prefix = key.removesuffix(naming.subject(key))
        if kind == "user" and prefix and prefix not in others:
            raise Broken(f"user {key!r} is not named by one of {head}")


async def _buckets(service: Service) -> None:
    count = 0
    for bucket in range(4):
        async with service.client.snapshot(bucket, 4) as snapshot:
            count += len([entity async for entity in snapshot.entities])
            if snapshot.position.revision != service.position.revision:
                return
    if count != len(service.entities):
        raise Broken(f"four buckets hold {count} entities, the whole {len(service.entities)}")


async def _changes(service: Service) -> None:
    oldest = (await service.raw_head()).integer("oldest")
    before = Position(service.position.epoch, oldest, None)
    newest: dict[EntityKey, Entity] = {}
    async for change in _followed(service, before):
        position = change.position
        if position.epoch != before.epoch or position.revision != before.revision + 1:
            raise Broken(f"revision {position.revision} follows {before.revision}")
        if before.at is not None and change.previous_at != before.at:
            raise Broken(f"revision {position.revision}: previous_at is not `at` of the one before")
        if position.revision <= service.position.revision:
            newest |= {entity.key: entity for entity in change.entities}
        before = position
    if before.revision < service.position.revision:
        raise Broken(f"they end at {before.revision}, before the snapshot's {service.position.revision}")
    for (kind, key), entity in newest.items():
        there = service.entities.get(entity.key)
        if there != (entity if entity.state is not None else None):
            raise Broken(f"{kind} {key} is another in the snapshot than after revision {entity.revision}")


async def _followed(service: Service, position: Position) -> AsyncIterator[Change]:
    """All of the feed, in parts."""
    while True:
        last = position
        async with service.client.changes(position, limit=500) as stream:
            async for change in stream.changes:
                position = change.position
                yield change
        if position == last:
            return


async def _limit(service: Service) -> None:
    oldest = (await service.raw_head()).integer("oldest")
    async with service.client.changes(Position(service.position.epoch, oldest, None), limit=1) as stream:
        count = len([change async for change in stream.changes])
    if count > 1:
        raise Broken(f"{count} changes for limit=1")


async def _other_history(service: Service) -> None:
    here = service.position
    for what, position in {
        "of another epoch": replace(here, epoch=OTHER_EPOCH, at=None),
        "beyond the head": replace(here, revision=here.revision + 1_000_000, at=None),
        "whose `at` is another": replace(here, at="2001-01-01T00:00:00.000000Z"),
    }.items():
        try:
            async with service.client.changes(position, limit=1):
                pass
        except HistoryGone:
            continue
        raise Broken(f"a revision {what} is no 410")
    if await service.client.confirm(here) is None:
        raise Broken("its own position is refused")


async def _digest(service: Service) -> None:
    answer = await service.client.digest(BUCKETS)
    if len(answer.buckets) != BUCKETS:
        raise Broken(f"{len(answer.buckets)} buckets, {BUCKETS} were asked for")
    if answer.revision != service.position.revision:
        return
    ours = Digests(BUCKETS)
    ours.add(service.entities.values())
    for number, bucket in enumerate(answer.buckets):
        if bucket.digest != ours[number]:
            raise Broken(f"bucket {number} of {BUCKETS} differs from the snapshot's entities")


async def _subjects(service: Service) -> None:
    for key, state in _users(service):
        answer = await service.client.subject(key)
        if answer.position.revision != service.position.revision:
            return
        if state not in [entity.state for entity in answer.entities if entity.key == ("user", key)]:
            raise Broken(f"user {key} is another than in the snapshot")


def _users(service: Service) -> list[tuple[str, UserState]]:
    """Some of them."""
    found = [(entity.key.key, entity.state) for entity in service.entities.values()]
    return [(key, state) for key, state in found if isinstance(state, UserState)][:SOME]


async def _no_subject(service: Service) -> None:
    if (status := await service.status(f"subjects/{quote(NOBODY, safe='')}", service.token)) != 404:
        raise Broken(f"somebody who does not exist: {status}, not 404")
    answer = await service.client.subject(NOBODY)
    if answer.position.at is None or answer.position.epoch != service.position.epoch:
        raise Broken("somebody who does not exist: 404 without this history's epoch and `at`")


async def _check(service: Service) -> None:
    questions: list[Question] = [(NOBODY, NOTHING, None, {"unknown_subject"})]
    for key, state in _users(service):
        questions += _about(key, state)
    for sub, permission, generation, expected in questions:
        answer = await service.client.check(sub, permission, generation)
        if answer.reason not in REASONS or answer.allowed != (answer.reason in ("granted", "superuser")):
            raise Broken(f"{sub}: allowed {answer.allowed} for the reason {answer.reason!r}")
        if answer.revision == service.position.revision and answer.reason not in expected:
            raise Broken(f"{sub}, {permission}: {answer.reason}, not {' or '.join(sorted(expected))}")


Question = tuple[str, str, int | None, set[str]]
"""Subject, permission, generation of the token, and the reasons that are right."""


def _about(key: str, state: UserState) -> Iterator[Question]:
    current = state.token_generation
    if not state.active:
        yield key, NOTHING, current, {"inactive"}
        return
    yield key, NOTHING, current, {"superuser" if state.superuser else "denied"}
    yield key, NOTHING, current + 1, {"token_revoked"}
    if state.permissions and not state.superuser:
        yield key, min(state.permissions), current, {"granted"}


async def _permissions(service: Service) -> None:
    await service.client.permissions()


Rule = Callable[[Service], Awaitable[None]]
RULES: Final[Mapping[str, Rule]] = {
    "only a valid credential is answered": _credential,
    "head names epoch, revision, oldest and now": _head,
    "a snapshot is whole": _snapshot,
    "fields that name users are told alike": _fields,
    "buckets of a snapshot are the snapshot": _buckets,
    "changes follow without gaps and agree with the snapshot": _changes,
    "changes are at most as many as asked for": _limit,
    "another history is 410": _other_history,
    "digests are those of the snapshot": _digest,
    "a subject is the snapshot's user": _subjects,
    "a subject that does not exist is 404, with its place in history": _no_subject,
    "check decides as the state says, for a known reason": _check,
    "permissions are labels": _permissions,
}
NEEDED: Final = ("head names epoch, revision, oldest and now", "a snapshot is whole")
