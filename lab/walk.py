"""Which files running code goes through, in order: `python -m lab.walk` shows the ways of the product.

A *stay* is a run of calls within one file, a *return* a stay in a file that was left before. A natural way
has few returns. Four ways are walked: an allowed and a refused POST on kept connections (decided from a
table), a decision that misses the near cache, and a change from its message to near cache and store. Only
code as it is written can be watched, not compiled code.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import groupby
from pathlib import Path
from types import FrameType

import authz_sidecar
from authz_sidecar.authz.cached import CachedAuthorizer
from authz_sidecar.config.table import ReplicaSettings
from authz_sidecar.core.entities import Entity, EntityKey, Position, UserState
from authz_sidecar.core.ports import SilentObserver
from authz_sidecar.core.verdicts import Code, Identity, Question, Requirement, Verdict
from authz_sidecar.replica.memory_store import MemoryStore
from authz_sidecar.replica.replica import Replica
from authz_sidecar.source import ChangeStream, Confirmation, SnapshotStream
from lab.wire.decisions import Clock
from lab.wire.rig import running

PACKAGE = str(Path(authz_sidecar.__file__).parent) + "/"
EPOCH = "3f2a9c1b-0000-4000-8000-000000000001"
HERE = Position(EPOCH, 1, "2026-11-22T09:00:00.000001Z")
ALICE = EntityKey("user", "alice")
LABEL = "students.change_student"
SETTLED_SECONDS = 0.2
"""Nothing is under way after so long; a way that is longer shows fewer stays, never more."""
TIMER = ("proxy/deadlines.py", "_sweep")
"""It comes by a few times a second, whatever else goes on."""
ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"
POST = b"POST /students/ HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %b\r\nContent-Length: 0\r\n\r\n"
CHANGE = (
    b'{"v":1,"type":"change","epoch":"%b","revision":2,"at":"2026-11-22T09:00:00.000002Z",'
    b'"entities":[{"kind":"user","key":"alice","state":null}]}' % EPOCH.encode()
)
NO_LINES: tuple[bytes, ...] = ()

Call = tuple[str, str]
"""File and function."""
Walk = list[Call]
Stay = tuple[str, list[str]]
"""A file, and the functions of it that are called in a row."""


def _called(frame: FrameType | None) -> Call | None:
    """Which call it is, if it is one of a function in the package."""
    code = frame.f_code if frame is not None else None
    if code is None or not code.co_filename.startswith(PACKAGE) or code.co_name[0] == "<":
        return None
    return code.co_filename.removeprefix(PACKAGE), code.co_name


async def recorded(way: Callable[[], Awaitable[object]]) -> Walk:
    """The calls into the package while `way` is gone and until it has settled."""
    calls: Walk = []

    def entered(frame: FrameType, event: str, _argument: object) -> None:
        call = _called(frame)
        if event == "call" and call is not None and TIMER not in (call, _called(frame.f_back)):
            calls.append(call)

    await asyncio.sleep(SETTLED_SECONDS)
    sys.setprofile(entered)
    try:
        await way()
        await asyncio.sleep(SETTLED_SECONDS)
    finally:
        sys.setprofile(None)
    return calls


def stays_of(walk: Walk) -> list[Stay]:
    return [(file, [name for _, name in calls]) for file, calls in groupby(walk, key=lambda call: call[0])]


def returns_of(walk: Walk) -> int:
    return len(stays_of(walk)) - len({file for file, _ in walk})


def described(title: str, walk: Walk, *, whole: bool) -> str:
    """The figures of a way in one line, and with `whole` each of its stays."""
    stays, returns = stays_of(walk), returns_of(walk)
    first = f"{title}: {len(stays) - returns} files, {len(stays)} stays, {returns} returns"
    return "\n".join([first, *(f"    {file}: {', '.join(names)}" for file, names in stays if whole)])


class Source:
    """A User service whose history has one revision, for a replica that needs no more."""

    async def confirm(self, _position: Position) -> None:
        return None

    async def present(self) -> Confirmation:
        now = Clock().monotonic()
        return Confirmation(HERE, HERE.revision, sent_at=now, audited_at=now)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[SnapshotStream]:
        async def entities() -> AsyncIterator[Entity]:
            yield Entity(ALICE, 1, UserState(True, False, frozenset([LABEL]), frozenset(), 0))

        now = Clock().monotonic()
        yield SnapshotStream(HERE, sent_at=now, audited_at=now, entities=entities())

    @asynccontextmanager
    async def changes(self, after: Position, **_: object) -> AsyncIterator[ChangeStream]:
        async def nothing() -> AsyncIterator[bytes]:
            for line in NO_LINES:
                yield line

        now = Clock().wall()
        yield ChangeStream(
            after.revision,
            now=now,
            audited_at=now,
            sent_at=Clock().monotonic(),
            proved="all",
            lines=nothing(),
        )


async def of_the_replica() -> dict[str, Walk]:
    settings = ReplicaSettings(feed_interval=1_000.0)
    clock = Clock()
    replica = Replica(settings, Source(), MemoryStore(), clock, SilentObserver())  # type: ignore[arg-type]  # as much of it as is needed
    authorizer = CachedAuthorizer(replica, settings.max_staleness, settings.audit_bound)

    async def miss() -> None:
        identity = Identity("alice", "key", 9e9, None, None, None)
        question = Question(identity, Requirement("any", (LABEL,)), None)
        while not isinstance(found := authorizer.authorize(question, clock.monotonic()), Verdict):
            await found()
        if found.code is not Code.GRANTED:
            raise RuntimeError(f"expected an allow, got {found}")

    async def message() -> None:
        replica.receive(CHANGE)

    await replica.start()
    try:
        return {
            "a decision that misses the near cache": await recorded(miss),
            "a change, to near cache and store": await recorded(message),
        }
    finally:
        await replica.stop()


async def of_the_byte_path() -> dict[str, Walk]:
    found = {}
    async with running(answer=ANSWER) as rig:
        client = await rig.client()
        for title, token in {"an allowed POST": b"alice", "a refused POST": b"bob"}.items():

            async def asked(token: bytes = token) -> None:
                client.received = b""
                await client.send(POST % token)
                await client.contains(b"\r\n\r\n")

            await asked()
            found[title] = await recorded(asked)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m lab.walk", description=__doc__.splitlines()[0])
    parser.add_argument("--whole", action="store_true", help="show every stay, not the figures alone")
    whole = parser.parse_args().whole
    for walks in (asyncio.run(of_the_byte_path()), asyncio.run(of_the_replica())):
        for title, walk in walks.items():
            print(described(title, walk, whole=whole))
    return 0


if __name__ == "__main__":
    sys.exit(main())
