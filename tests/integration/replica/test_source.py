"""The client against answers that no healthy User service gives; the real one is tested end to end."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import aiohttp
import pytest

from authz_sidecar import source
from authz_sidecar.core.documents import parse_instant
from authz_sidecar.core.entities import Entity, EntityKey, Position
from authz_sidecar.core.errors import HistoryGone, MalformedMessage, Unavailable
from authz_sidecar.source import Confirmation, UserServiceClient

MESSAGES = Path(__file__).parents[2] / "contract" / "messages"
EPOCH = "3f2a9c1b-5d44-4b0e-9c07-6a1f7f0e8d21"
HERE = Position(EPOCH, 41, "2026-11-22T09:00:00.000000Z")
HEADERS = b"Authz-Head: 42\r\nAuthz-Now: 2026-11-22T09:00:01.000000Z\r\n"


class Clock:
    """Stands still."""

    def monotonic(self) -> float:
        return 7.0

    def wall(self) -> float:
        return 0.0


class Player:
    """An HTTP server that gives one recorded answer to every request and remembers what it was asked."""

    def __init__(self) -> None:
        self.answer = b""
        self.requests: list[bytes] = []
        self.keeps_open = False
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:  # the client was out of patience before it was accepted
            writer.close()
            return
        self.requests.append(head)
        writer.write(self.answer)
        await writer.drain()
        if self.keeps_open:
            await reader.read()
        writer.close()

    def plays(
        self, body: bytes, *, status: str = "200 OK", headers: bytes = b"", length: int | None = None
    ) -> None:
        """`length` other than the body's cuts the answer off."""
        size = len(body) if length is None else length
        self.answer = b"HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: close\r\n%s\r\n%s" % (
            status.encode(),
            size,
            headers,
            body,
        )


@pytest.fixture
async def player() -> AsyncIterator[Player]:
    made = Player()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield made
    server.close()


@pytest.fixture
async def user_service(player: Player) -> AsyncIterator[UserServiceClient]:
    async with aiohttp.ClientSession() as session:
        yield UserServiceClient(session, player.url, "the-service-token", Clock())


def golden(name: str) -> bytes:
    return (MESSAGES / name).read_bytes()


async def pull(user_service: UserServiceClient) -> list[int]:
    async with user_service.changes(HERE) as stream:
        assert (stream.head, stream.sent_at) == (42, 7.0)
        return [change.position.revision async for change in stream.changes]


async def snapshot(user_service: UserServiceClient) -> list[Entity]:
    async with user_service.snapshot() as stream:
        return [entity async for entity in stream.entities]


async def test_changes(user_service: UserServiceClient, player: Player) -> None:
    player.plays(golden("changes.ndjson"), headers=HEADERS)
    assert await pull(user_service) == [42]
    request = player.requests[0].decode()
    assert request.startswith(
        f"GET /authz/v1/changes?epoch={EPOCH}&after=41&at=2026-11-22T09:00:00.000000Z HTTP/1.1"
    )
    assert "\r\nAuthorization: Bearer the-service-token\r\n" in request


async def test_what_proves_nothing_is_asked_for_and_told_apart(
    user_service: UserServiceClient, player: Player
) -> None:
    unproved = HEADERS + b"Authz-Unproved: no triggers\r\n"
    for headers, proved in (
        (HEADERS, "all"),
        (unproved, "nothing"),
        (unproved + b"Authz-Proved: losses\r\n", "losses"),
        (unproved + b"Authz-Proved: gains\r\n", "nothing"),
    ):
        player.plays(golden("changes.ndjson"), headers=headers)
        async with user_service.changes(HERE, proof="optional") as stream:
            assert stream.proved == proved
    assert b"&proof=optional HTTP/1.1" in player.requests[0]


async def test_an_answer_tells_how_far_the_clocks_are_apart(
    user_service: UserServiceClient, player: Player
) -> None:
    assert math.isnan(user_service.clock_offset)
    player.plays(b"", headers=HEADERS)
    await pull(user_service)
    assert user_service.clock_offset == parse_instant("2026-11-22T09:00:01.000000Z")  # ours says 0


async def test_another_credential_is_used_from_the_next_call_on(
    user_service: UserServiceClient, player: Player
) -> None:
    player.plays(b"", headers=HEADERS)
    user_service.use_token("renewed")
    await pull(user_service)
    assert b"\r\nAuthorization: Bearer renewed\r\n" in player.requests[0]


async def test_no_changes(user_service: UserServiceClient, player: Player) -> None:
    player.plays(b"", headers=HEADERS)
    assert await pull(user_service) == []


async def test_a_position_is_confirmed(user_service: UserServiceClient, player: Player) -> None:
    player.plays(golden("changes.ndjson"), headers=HEADERS)
    assert await user_service.confirm(HERE) == Confirmation(HERE, 42, 7.0)


async def test_an_audit_is_told_in_a_header(user_service: UserServiceClient, player: Player) -> None:
    player.plays(
        golden("changes.ndjson"), headers=HEADERS + b"Authz-Audited-At: 2026-11-22T08:59:01.000000Z\r\n"
    )
    async with user_service.changes(HERE) as stream:
        assert stream.audited_at == stream.now - 60.0
    assert await user_service.confirm(HERE) == Confirmation(HERE, 42, 7.0, 7.0 - 60.0)


async def test_snapshot(user_service: UserServiceClient, player: Player) -> None:
    player.plays(golden("snapshot.ndjson"))
    assert [entity.key for entity in await snapshot(user_service)] == [("user", "17"), ("group", "3")]


@pytest.mark.parametrize("size", [1, 7, 64])
async def test_lines_may_arrive_in_any_pieces(
    user_service: UserServiceClient, player: Player, size: int
) -> None:
    body = golden("snapshot.ndjson")
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    player.answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks
    assert len(await snapshot(user_service)) == 2


@pytest.mark.parametrize("sub", ["17", "a/b", "..", "a b?c#d", "ключ", "%2e"])
async def test_a_subject_is_one_path_segment(
    user_service: UserServiceClient, player: Player, sub: str
) -> None:
    answer = golden("unknown-subject.json").replace(b'"18"', json.dumps(sub).encode())
    player.plays(answer, status="404 Not Found")
    assert (await user_service.subject(sub)).entities == (Entity(EntityKey("user", sub), 42, None),)
    path = player.requests[0].split(b" ")[1]
    assert path == b"/authz/v1/subjects/" + quote(sub, safe="").encode()


Call = Callable[[UserServiceClient], Awaitable[object]]
CALLS: dict[str, Call] = {
    "head": lambda user_service: user_service.head(),
    "changes": pull,
    "snapshot": snapshot,
    "subject": lambda user_service: user_service.subject("17"),
    "check": lambda user_service: user_service.check("17", "a.b", 2),
    "digest": lambda user_service: user_service.digest(2),
    "permissions": lambda user_service: user_service.permissions(),
}
every_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())


@every_call
@pytest.mark.parametrize("status", ["500 Oops", "503 Busy", "401 No", "403 No", "302 Found", "204 Nothing"])
async def test_other_statuses_are_unavailable(
    user_service: UserServiceClient, player: Player, call: Call, status: str
) -> None:
    player.plays(b"", status=status, headers=b"Location: http://127.0.0.1:1/\r\n")
    with pytest.raises(Unavailable) as caught:
        await call(user_service)
    assert "the-service-token" not in str(caught.value)


@every_call
@pytest.mark.parametrize("body", [b"<html>", b"{}", b"[]", b"null", b"\xff", b'{"v":1}'])
async def test_garbage_is_malformed(
    user_service: UserServiceClient, player: Player, call: Call, body: bytes
) -> None:
    player.plays(body, headers=HEADERS)
    with pytest.raises(MalformedMessage):
        await call(user_service)


@pytest.mark.parametrize("call", [call for name, call in CALLS.items() if name != "changes"])
async def test_nothing_is_malformed_where_something_is_due(
    user_service: UserServiceClient, player: Player, call: Call
) -> None:
    player.plays(b"")
    with pytest.raises(MalformedMessage):
        await call(user_service)


@every_call
async def test_a_cut_off_answer_is_unavailable(
    user_service: UserServiceClient, player: Player, call: Call
) -> None:
    player.plays(b"{", headers=HEADERS, length=1000)
    with pytest.raises(Unavailable):
        await call(user_service)


@every_call
async def test_no_answer_is_unavailable(
    user_service: UserServiceClient, player: Player, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user_service, "_answer", aiohttp.ClientTimeout(total=0.2))
    for name in ("PULL", "WHOLE"):
        monkeypatch.setattr(source, name, aiohttp.ClientTimeout(total=0.2))
    player.keeps_open = True
    with pytest.raises(Unavailable):
        await call(user_service)


@every_call
async def test_nobody_there_is_unavailable(call: Call) -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(Unavailable):
            await call(UserServiceClient(session, "http://127.0.0.1:1", "x", Clock()))


@pytest.mark.parametrize("status", ["404 Not Found"])
async def test_not_found_is_an_answer_about_subjects_only(
    user_service: UserServiceClient, player: Player, status: str
) -> None:
    player.plays(b"<h1>Not Found</h1>", status=status)
    with pytest.raises(Unavailable):
        await user_service.head()
    with pytest.raises(MalformedMessage):
        await user_service.subject("17")


async def test_gone(user_service: UserServiceClient, player: Player) -> None:
    player.plays(golden("gone.json"), status="410 Gone")
    with pytest.raises(HistoryGone):
        await pull(user_service)
    assert await user_service.confirm(HERE) is None


@pytest.mark.parametrize("headers", [b"", HEADERS.replace(b"42", b"x"), HEADERS.replace(b"2026", b"year")])
async def test_an_answer_without_its_head_is_malformed(
    user_service: UserServiceClient, player: Player, headers: bytes
) -> None:
    player.plays(b"", headers=headers)
    with pytest.raises(MalformedMessage):
        await pull(user_service)


BROKEN_SNAPSHOTS = {
    "no end": lambda lines: lines[:-1],
    "an entity lost": lambda lines: [lines[0], lines[1], lines[3]],
    "an entity more": lambda lines: [*lines[:3], lines[1], lines[3]],
    "another count at the end": lambda lines: [*lines[:3], b'{"type":"end","entities":3}'],
    "only the first line": lambda lines: lines[:1],
    "no first line": lambda lines: lines[1:],
    "garbage in between": lambda lines: [*lines[:2], b"oops", *lines[2:]],
}


@pytest.mark.parametrize("broken", BROKEN_SNAPSHOTS.values(), ids=BROKEN_SNAPSHOTS.keys())
async def test_a_snapshot_that_is_not_whole_is_malformed(
    user_service: UserServiceClient, player: Player, broken: Callable[[list[bytes]], list[bytes]]
) -> None:
    player.plays(b"\n".join(broken(golden("snapshot.ndjson").splitlines())))
    with pytest.raises(MalformedMessage):
        await snapshot(user_service)


async def test_an_endless_line_is_malformed(
    user_service: UserServiceClient, player: Player, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "MAX_LINE", 1000)
    player.plays(b"x" * 100_000, headers=HEADERS)
    with pytest.raises(MalformedMessage, match="longer"):
        await pull(user_service)


async def test_a_check_is_repeated_when_a_kept_connection_had_died() -> None:
    """The server closed it while it was idle: nothing was asked yet, and a question may be asked twice."""
    answered = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal answered
        await reader.readuntil(b"}")
        answered += 1
        body = golden("check.json")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        with suppress(asyncio.IncompleteReadError):  # when it is the last one
            await reader.readuntil(b"}")  # the second question on this connection is not answered
        writer.close()

    async with _serving(serve) as url, aiohttp.ClientSession() as session:
        user_service = UserServiceClient(session, url, "x", Clock())
        for _ in range(3):
            assert (await user_service.check("17", "a.b", None)).allowed
    assert answered == 3


@asynccontextmanager
async def _serving(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[str]:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()
