"""The replica in Redis. The only module that knows `redis`.

The prefix is one hash tag, so that a Cluster keeps the keys together; v2 is the version of this format (the
first has no `tokens_not_before`: whoever took over a copy of it would let ended tokens pass):

    {<prefix>}:v2:current     name of the current generation
    {<prefix>}:v2:gen:<name>  a hash: @epoch @revision @at, and each entity as u:<key> or g:<key>
    {<prefix>}:v2:loading     somebody loads a new generation; it expires

An entity's value is its revision, a space and its canonical state; `null` is a tombstone. Position and
entities share one key, so whatever Redis loses (FLUSHALL, eviction, a failover) it loses both: an entity
that is absent beside a readable position did not exist there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from importlib.resources import files
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import uuid4

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import MasterNotFoundError, Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.commands.core import AsyncScript
from redis.exceptions import AuthenticationError, BusyLoadingError, RedisError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from authz_sidecar.core.documents import decode_state, encode_state
from authz_sidecar.core.entities import Change, Entity, EntityKey, Kind, Position
from authz_sidecar.core.errors import MalformedMessage, StoreUnavailable
from authz_sidecar.reasons import Words, reason
from authz_sidecar.replica.store import Copy, Outcome, Reading

TIMEOUT = 1.0
"""Seconds for a connection and for an answer."""
LEASE = 60
"""Seconds a staged generation lives after it was last written to."""
MAX_CONCURRENT = 32
SCAN_COUNT = 1_000
POSITION_FIELDS = 3

WORDS: Words = {
    RedisTimeoutError: "no answer in time",
    AuthenticationError: "it refuses our password",
    BusyLoadingError: "it is still loading its data",
    MasterNotFoundError: "no sentinel knows its master",
    RedisConnectionError: "the connection ended",
    RuntimeError: "the connection had ended",
}

_PREFIXES: dict[Kind, str] = {"user": "u:", "group": "g:"}
_KINDS: dict[bytes, Kind] = {b"u:": "user", b"g:": "group"}

Client = Redis | RedisCluster


class RedisStore:
    """Implements `store.Store`. `url`: redis://, rediss://, redis+sentinel://, redis+cluster://."""

    def __init__(self, url: str, prefix: str) -> None:
        self._client = connect(url)
        self._name = _name(url)
        self._current_key = f"{{{prefix}}}:v2:current"
        self._generations = f"{{{prefix}}}:v2:gen:"
        self._loading_key = f"{{{prefix}}}:v2:loading"
        self._slots = asyncio.Semaphore(MAX_CONCURRENT)
        self._read = self._script("read")
        self._apply = self._script("apply")
        self._stage = self._script("stage")
        self._fill = self._script("fill")
        self._switch = self._script("switch")
        self._repair = self._script("repair")

    async def current(self) -> Copy | None:
        reading = await self.read(())
        return None if reading is None else reading.copy

    async def read(self, keys: Sequence[EntityKey]) -> Reading | None:
        args = [self._generations, *map(_field, keys)]
        found = await self._call(self._read, [self._current_key], args)
        if not found:
            return None
        copy = Copy(found[0].decode(), _position(found[1 : 1 + POSITION_FIELDS]))
        values = found[1 + POSITION_FIELDS :]
        entities = (_entity(key, value) for key, value in zip(keys, values, strict=True))
        return Reading(copy, tuple(entities))

    async def apply(self, generation: str, before: Position, change: Change) -> Outcome:
        after = change.position
        if (before.epoch, before.revision + 1) != (after.epoch, after.revision):
            return Outcome.GAP
        args = [
            generation,
            after.epoch,
            before.revision,
            before.at or "",
            after.revision,
            after.at or "",
            *_pairs(change.entities),
        ]
        keys = [self._current_key, self._generations + generation]
        return Outcome((await self._call(self._apply, keys, args)).decode())

    async def claim(self, seconds: float) -> bool:
        async with self._asking():
            return bool(await self._client.set(self._loading_key, "1", nx=True, px=int(seconds * 1000)))

    async def release(self, seconds: float) -> None:
        async with self._asking():
            await self._client.set(self._loading_key, "1", px=int(seconds * 1000))

    async def stage(self) -> str:
        generation = uuid4().hex
        await self._call(self._stage, [self._generations + generation], [LEASE])
        return generation

    async def fill(self, generation: str, entities: Sequence[Entity]) -> None:
        answer = await self._call(self._fill, [self._generations + generation], [LEASE, *_pairs(entities)])
        if answer != b"written":
            raise StoreUnavailable("the staged copy has vanished")

    async def switch(self, generation: str, position: Position, replaces: str | None) -> bool:
        args = [self._generations, generation, *_texts(position), replaces or ""]
        answer = await self._call(self._switch, [self._current_key], args)
        if answer == b"vanished":
            raise StoreUnavailable("the staged copy has vanished")
        return bool(answer == b"switched")

    async def discard(self, generation: str) -> None:
        async with self._asking():
            await self._client.unlink(self._generations + generation)

    async def scan(self, generation: str) -> AsyncIterator[Sequence[Entity]]:
        key, cursor = self._generations + generation, 0
        while True:
            async with self._asking():
                answer: Any = await self._client.hscan(key, cursor, count=SCAN_COUNT)
            cursor, fields = answer
            yield [_scanned(field, value) for field, value in fields.items() if not field.startswith(b"@")]
            if cursor == 0:
                return

    async def repair(self, expected: Copy, entities: Sequence[Entity]) -> bool:
        keys = [self._current_key, self._generations + expected.generation]
        args = [expected.generation, *_texts(expected.position), *_pairs(entities)]
        return bool(await self._call(self._repair, keys, args) == b"repaired")

    async def close(self) -> None:
        await self._client.aclose()
        pool = getattr(self._client, "connection_pool", None)
        if isinstance(pool, SentinelConnectionPool):  # it leaves open what it asked the sentinels by
            for sentinel in pool.sentinel_manager.sentinels:
                await sentinel.aclose()

    def _script(self, name: str) -> AsyncScript:
        return self._client.register_script(files(__package__).joinpath(f"lua/{name}.lua").read_text())

    async def _call(self, script: AsyncScript, keys: Sequence[str], args: Sequence[Any]) -> Any:
        async with self._asking():
            return await script(keys=keys, args=args)

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[None]:
        try:
            async with _Mapped(self._name), self._slots:
                yield
        except StoreUnavailable:
            await self._reconnect()
            raise

    async def _reconnect(self) -> None:
        """What is asked next goes to the server that is behind the address then.

        One that has become a replica goes on answering on the connections it has, and takes nothing.
        """
        with suppress(RedisError, OSError):
            if isinstance(self._client, RedisCluster):
                await self._client.aclose()  # it asks anew who serves which slots
            else:
                await self._client.connection_pool.disconnect(inuse_connections=False)


class _Mapped:
    """Redis' exceptions become ours. `name`: what to call it."""

    def __init__(self, name: str) -> None:
        self._name = name

    async def __aenter__(self) -> None: ...

    async def __aexit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        # uvloop raises RuntimeError where asyncio raises OSError: writing to a connection that has just died.
        if isinstance(error, RedisError | OSError | TimeoutError | RuntimeError):
            raise StoreUnavailable(f"{self._name}: {_reason(error)}") from error


def _name(url: str) -> str:
    """What to call it in errors: where it is, without a password."""
    parts = urlsplit(url)
    return f"Redis at {parts.netloc.rpartition('@')[2] or parts.path}"


def _reason(error: BaseException) -> str:
    """What Redis itself says, in its own words."""
    if isinstance(error, ResponseError):
        return f"it answers {' '.join(str(error).split())}"
    return reason(error, WORDS)


def connect(url: str) -> Client:
    """A client with explicit timeouts and one retry, at once, for a pooled connection that had died."""
    retry = Retry(NoBackoff(), retries=1, supported_errors=(RedisConnectionError,))
    options: dict[str, Any] = {
        "socket_timeout": TIMEOUT,
        "socket_connect_timeout": TIMEOUT,
        "retry": retry,
        "protocol": 2,
    }
    scheme, _, rest = url.partition("://")
    scheme, _, topology = scheme.partition("+")
    if topology == "sentinel":
        return _sentinel(url, ssl=scheme == "rediss", options=options)
    plain = f"{scheme}://{rest}"
    if topology == "cluster":
        return RedisCluster.from_url(plain, **options)
    return Redis.from_url(plain, **options)


def _sentinel(url: str, *, ssl: bool, options: dict[str, Any]) -> Redis:
    """`redis+sentinel://[user[:password]@]host[:port][,host[:port]...]/service[/db]`"""
    parts = urlsplit(url)
    credentials, _, hosts = parts.netloc.rpartition("@")
    username, _, password = credentials.partition(":")
    sentinels = []
    for host in hosts.split(","):
        name, _, port = host.partition(":")
        sentinels.append((name, int(port or 26379)))
    service, _, db = parts.path.strip("/").partition("/")
    sentinel = Sentinel(sentinels, ssl=ssl, **options)  # type: ignore[no-untyped-call]  # redis lacks the types
    client: Redis = sentinel.master_for(
        service or "mymaster",
        username=unquote(username) or None,
        password=unquote(password) or None,
        db=int(db or 0),
    )
    return client


def _field(key: EntityKey) -> str:
    return _PREFIXES[key.kind] + key.key


def _pairs(entities: Iterable[Entity]) -> list[str]:
    pairs = []
    for entity in entities:
        pairs += [_field(entity.key), f"{entity.revision} {encode_state(entity.state)}"]
    return pairs


def _texts(position: Position) -> list[str]:
    return [position.epoch, str(position.revision), position.at or ""]


def _position(fields: Sequence[bytes]) -> Position:
    epoch, revision, at = (field.decode() for field in fields)
    return Position(epoch, int(revision), at or None)


def _scanned(field: bytes, value: bytes) -> Entity:
    key = EntityKey(_KINDS[field[:2]], field[2:].decode())
    return _stored(key, value)


def _entity(key: EntityKey, value: bytes | None) -> Entity | None:
    return None if value is None else _stored(key, value)


def _stored(key: EntityKey, value: bytes) -> Entity:
    try:
        revision, _, state = value.partition(b" ")
        return Entity(key, int(revision), decode_state(key.kind, state))
    except (ValueError, MalformedMessage) as error:
        raise StoreUnavailable(f"Redis: {key.kind} {key.key} is not readable") from error
