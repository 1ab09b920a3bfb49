"""One thread writes to each file, whole lines only; whatever prints is a line of a queue."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from threading import Thread
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz_sidecar.observe import output
from authz_sidecar.observe.lines import LineQueue
from authz_sidecar.observe.output import MAX_UNENDED, PIPE_BUF, Printed, Writer, kept_together
from lab import DEADLINE


class Pipe(NamedTuple):
    reading: int
    writing: int


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    ends = Pipe(*os.pipe())
    yield ends
    for end in ends:
        os.close(end)


def writer(descriptor: int) -> tuple[LineQueue, Callable[[], None]]:
    wake: SimpleQueue[None] = SimpleQueue()
    queue = LineQueue(wake)
    thread = Writer(descriptor, wake, [queue])
    return queue, lambda: thread.stop(time.monotonic() + DEADLINE)


@pytest.mark.parametrize("blocking", [True, False])
def test_a_slow_reader_gets_every_line(pipe: Pipe, blocking: bool) -> None:
    """Also where somebody else who has the file has set that its writes do not wait."""
    os.set_blocking(pipe.writing, blocking)
    lines = [f"{number} {'x' * number}\n" for number in range(1000)]
    size = sum(map(len, lines))
    received = bytearray()

    def read() -> None:
        while len(received) < size:
            received.extend(os.read(pipe.reading, 1000))

    reader = Thread(target=read)
    reader.start()
    queue, stop = writer(pipe.writing)
    for line in lines:
        queue.put(line)
    stop()
    reader.join(DEADLINE)
    assert received.decode() == "".join(lines)
    assert (queue.dropped, queue.waiting) == (0, 0)


class Disk:
    """Takes so many bytes, and is full then; room can be made."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.written = b""

    def write(self, _descriptor: int, data: memoryview) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, "no space left on device")
        part = bytes(data[: self.room])
        self.room -= len(part)
        self.written += part
        return len(part)


@pytest.mark.parametrize(
    ("room", "lost", "wanted"),
    [
        (0, 3, b"last\n"),
        (2, 2, b"first\nlast\n"),
        (6, 2, b"first\nlast\n"),
        (9, 1, b"first\nsecond\nlast\n"),
    ],
)
def test_a_line_that_was_begun_on_a_full_disk_is_ended_when_there_is_room(
    monkeypatch: pytest.MonkeyPatch, room: int, lost: int, wanted: bytes
) -> None:
    disk = Disk(room)
    monkeypatch.setattr(output.os, "write", disk.write)
    queue, stop = writer(99)
    for line in ("first\n", "second\n", "third\n"):
        queue.put(line)
    while queue.waiting:
        time.sleep(0.001)
    assert queue.dropped == lost
    disk.room = 1000
    queue.put("last\n")
    stop()
    assert (queue.dropped, disk.written) == (lost, wanted)


def test_a_line_stays_begun_while_the_disk_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(2)
    monkeypatch.setattr(output.os, "write", disk.write)
    queue, stop = writer(99)
    for line in ("first\n", "second\n"):
        queue.put(line)
        while queue.waiting:
            time.sleep(0.001)
    disk.room = 1000
    queue.put("third\n")
    stop()
    assert (queue.dropped, disk.written) == (1, b"first\nthird\n")


def test_nobody_waits_long_for_a_pipe_that_is_not_read(pipe: Pipe) -> None:
    wake: SimpleQueue[None] = SimpleQueue()
    queue = LineQueue(wake)
    thread = Writer(pipe.writing, wake, [queue])
    queue.put("x" * 1_000_000 + "\n")
    thread.stop(time.monotonic() + 0.1)
    assert queue.waiting == 1
    rest = 1_000_001
    while rest:
        rest -= len(os.read(pipe.reading, 65536))


@pytest.mark.parametrize(
    ("printed", "wanted"),
    [
        ([b"a\nb\n"], ["a\n", "b\n"]),
        ([b"a", b"b\nc", b"\n"], ["ab\n", "c\n"]),
        ([b"no end"], ["no end\n"]),
        ([b"x" * MAX_UNENDED, b"y", b"z\n"], ["x" * MAX_UNENDED + "y\n", "z\n"]),
        ([b"\xff\n"], ["\\xff\n"]),
    ],
)
def test_what_is_printed_is_lines(printed: list[bytes], wanted: list[str]) -> None:
    queue = LineQueue(SimpleQueue())
    stream = Printed(queue, 2)
    for part in printed:
        stream.write(part)
    stream.end()
    assert queue.take() == wanted


@given(st.lists(st.binary(max_size=6000).map(lambda line: line.replace(b"\n", b" ") + b"\n"), max_size=30))
def test_what_others_write_gets_between_lines_only(lines: list[bytes]) -> None:
    """The kernel keeps so many bytes together (pipe(7)); a longer line goes alone."""
    parts = list(kept_together(b"".join(lines)))
    assert b"".join(parts) == b"".join(lines)
    assert all(part.endswith(b"\n") for part in parts)
    assert all(len(part) <= PIPE_BUF or part.count(b"\n") == 1 for part in parts)


def test_writers_to_one_pipe_keep_their_lines_whole(pipe: Pipe) -> None:
    wakes: list[SimpleQueue[None]] = [SimpleQueue(), SimpleQueue()]
    queues = [LineQueue(wake) for wake in wakes]
    received = bytearray()

    def read() -> None:
        while received.count(b"\n") < 2000:
            received.extend(os.read(pipe.reading, 1000))

    reader = Thread(target=read)
    reader.start()
    writers = [
        Writer(pipe.writing, wake, [queue], shared=True) for wake, queue in zip(wakes, queues, strict=True)
    ]
    for number in range(1000):
        for name, queue in zip("ab", queues, strict=True):
            queue.put(name * (1 + number % 300) + "\n")
    for each in writers:
        each.stop(time.monotonic() + DEADLINE)
    reader.join(DEADLINE)
    assert all(len(set(line)) == 1 for line in received.decode().splitlines())
