"""Questions are answered over a line, and end with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from authz_sidecar.core.errors import Unavailable
from authz_sidecar.feed.followed import Follower
from authz_sidecar.feed.line import Line
from authz_sidecar.feed.messages import Message
from authz_sidecar.feed.rendezvous import Rendezvous


async def doubled(question: Message) -> Message:
    return {"twice": 2 * question["number"]}


async def silent(_question: Message) -> Message:
    await asyncio.Event().wait()
    return {}


def ignored(_message: Message) -> None: ...


@pytest.fixture
def rendezvous() -> Iterator[Rendezvous]:
    made = Rendezvous()
    yield made
    made.close()


async def answered(rendezvous: Rendezvous, line: Line) -> None:
    """A follower takes one line, as soon as a worker has called."""
    loop, called = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(rendezvous.fileno(), called.set)
    await called.wait()
    loop.remove_reader(rendezvous.fileno())
    await loop.create_unix_connection(lambda: line, sock=rendezvous.answer())


@pytest.fixture
async def worker(rendezvous: Rendezvous) -> AsyncIterator[Follower]:
    """The follower, as a worker sees it."""
    follower = Follower(rendezvous, silent)
    following = asyncio.create_task(follower.follow(ignored, lambda: {"type": "hello"}))
    yield follower
    following.cancel()
    with pytest.raises(asyncio.CancelledError):
        await following


async def test_a_question_is_answered(rendezvous: Rendezvous, worker: Follower) -> None:
    await answered(rendezvous, Line(ignored, doubled, lambda: None))
    answers = await asyncio.gather(*(worker.ask({"number": number}) for number in range(3)))
    assert answers == [{"twice": 0}, {"twice": 2}, {"twice": 4}]


async def test_what_one_did_not_answer_its_successor_does(rendezvous: Rendezvous, worker: Follower) -> None:
    first = Line(ignored, silent, lambda: None)
    asking = asyncio.create_task(worker.ask({"number": 1}))
    await answered(rendezvous, first)
    first.cut()
    await answered(rendezvous, Line(ignored, doubled, lambda: None))
    assert await asking == {"twice": 2}


async def test_who_calls_while_there_is_no_follower_is_answered_by_the_next(rendezvous: Rendezvous) -> None:
    ends = [rendezvous.call() for _ in range(3)]
    line = Line(ignored, doubled, lambda: None)
    await answered(rendezvous, line)
    ends[0].send(b'{"type": "question", "id": 1, "question": {"number": 4}}\n')
    loop = asyncio.get_running_loop()
    assert await loop.sock_recv(ends[0], 100) == b'{"type":"answer","id":1,"answer":{"twice":8}}\n'
    for end in ends:
        end.close()


async def test_a_line_that_ends_ends_its_questions(rendezvous: Rendezvous) -> None:
    end, lost = rendezvous.call(), asyncio.Event()
    line = Line(ignored, doubled, lost.set)
    await answered(rendezvous, line)
    asking = asyncio.create_task(line.ask({"what": "report"}))
    assert await asyncio.get_running_loop().sock_recv(end, 1000)
    end.close()
    with pytest.raises(Unavailable):
        await asking
    assert lost.is_set()
    with pytest.raises(Unavailable):
        await line.ask({"what": "report"})
