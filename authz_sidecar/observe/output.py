"""Standard output and standard error, as a program may use them that must never wait for its readers.

A write to a pipe that nobody reads, to a terminal that is held or to a disk that hangs takes for ever. So
nothing writes but one thread for each file, and everybody else puts whole lines into a queue
(`observe.lines`): the decision log, the loggers, and whatever prints. Where both streams are one file they
share the thread, and so no line gets into the middle of another. Where several processes write to one pipe
or socket, they write no more at once than the kernel keeps together.

A descriptor that was closed at the start would be given to the next socket, which would then receive the
log. It is reserved instead, by a file that takes no writes: what is meant for it is lost, and counted.
"""

from __future__ import annotations

import io
import logging
import os
import select
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Event, Thread
from typing import BinaryIO, cast

from authz_sidecar.observe.lines import LineQueue

logger = logging.getLogger(__name__)

STDOUT, STDERR = 1, 2
BATCH_SECONDS = 0.05
"""How long lines may wait for others, so that they are written together."""
STOP_SECONDS = 2.0
"""What the end waits for a reader."""
PIPE_BUF = select.PIPE_BUF
MAX_UNENDED = 64 * 1024
"""What is printed and never ends a line is cut there."""


@dataclass(frozen=True, slots=True)
class Outputs:
    """Where a program's lines go: decisions to standard output, everything else to standard error."""

    decisions: LineQueue
    diagnostics: LineQueue


class Writer:
    """The thread that writes to one file what its queues hold."""

    def __init__(
        self, descriptor: int, wake: SimpleQueue[None], queues: Sequence[LineQueue], *, shared: bool = False
    ) -> None:
        """`shared`: other processes write to the same file."""
        self._descriptor = descriptor
        self._together = shared and not stat.S_ISREG(os.fstat(descriptor).st_mode)
        self._wake = wake
        self._queues = queues
        self._torn = b""
        """The rest of a line whose beginning is in the file already."""
        self._ending = Event()
        self._thread = Thread(target=self._run, name=f"writer-{descriptor}", daemon=True)
        self._thread.start()

    def stop(self, deadline: float) -> None:
        """Write what is queued; a file that takes nothing any more is given up at `deadline`."""
        self._ending.set()
        self._wake.put(None)
        self._thread.join(max(0.0, deadline - time.monotonic()))

    def _run(self) -> None:
        ending = False
        while not ending:
            self._wake.get()
            ending = self._ending.wait(BATCH_SECONDS)
            for queue in self._queues:
                lines = queue.take()
                data = "".join(lines).encode(errors="backslashreplace")
                parts = kept_together(data) if self._together else (data,)
                queue.written(lines, sum(map(self._write, parts)))

    def _write(self, lines: bytes) -> int:
        """Write whole lines. Returns how many of them were lost."""
        data = self._torn + lines
        done = 0
        try:
            while done < len(data):
                done += self._write_some(memoryview(data)[done:])
        except OSError:  # a full disk, a closed pipe: it may be mended, so the next batch is tried again
            begun_until = data.find(b"\n", done - 1) + 1 if done else len(self._torn)
            self._torn = data[done:begun_until]
            return data.count(b"\n", begun_until)
        self._torn = b""
        return 0

    def _write_some(self, data: memoryview) -> int:
        try:
            return os.write(self._descriptor, data)
        except BlockingIOError:  # somebody we share the file with has set it so
            select.select([], [self._descriptor], [], 1.0)
            return 0


def kept_together(data: bytes) -> Iterator[bytes]:
    """Whole lines in parts of `PIPE_BUF` bytes at most, so that nothing gets in between (pipe(7)).

    A line that is longer is a part by itself.
    """
    begin = 0
    while begin < len(data):
        end = data.rfind(b"\n", begin, begin + PIPE_BUF) + 1 or data.find(b"\n", begin) + 1
        yield data[begin : end or len(data)]
        begin = end or len(data)


class Printed(io.RawIOBase):
    """What others print, as lines of a queue. It stands in for the file of `descriptor`."""

    def __init__(self, queue: LineQueue, descriptor: int) -> None:
        self._queue = queue
        self._descriptor = descriptor
        self._unended = b""

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def write(self, data: bytes | bytearray | memoryview, /) -> int:  # type: ignore[override]  # any buffer
        text = self._unended + bytes(data)
        if len(text) > MAX_UNENDED and b"\n" not in text:
            text += b"\n"
        whole, end, self._unended = text.rpartition(b"\n")
        if end:
            self._put(whole + end)
        return len(data)

    def end(self) -> None:
        """Nothing more will be printed, so what was printed last is a line."""
        rest, self._unended = self._unended, b""
        if rest:
            self._put(rest + b"\n")

    def _put(self, text: bytes) -> None:
        for line in text.decode("utf-8", "backslashreplace").removesuffix("\n").split("\n"):
            self._queue.put(f"{line}\n")


@contextmanager
def taken_over(*, shared: bool = False) -> Iterator[Outputs]:
    """Until the end of the context nothing but our writers writes to standard output and error.

    `shared`: but for those of other processes of ours.
    """
    _reserve()
    wakes: list[SimpleQueue[None]] = [SimpleQueue(), SimpleQueue()]
    same = os.path.sameopenfile(STDOUT, STDERR)
    out, error = LineQueue(wakes[0]), LineQueue(wakes[0] if same else wakes[1])
    if same:
        writers = [Writer(STDERR, wakes[0], [out, error], shared=shared)]
    else:
        writers = [
            Writer(STDOUT, wakes[0], [out], shared=shared),
            Writer(STDERR, wakes[1], [error], shared=shared),
        ]
    printed = Printed(out, STDOUT), Printed(error, STDERR)
    try:
        with redirect_stdout(_text(printed[0])), redirect_stderr(_text(printed[1])):
            yield Outputs(out, error)
    finally:
        for each in printed:
            each.end()
        _stop(writers, out, error)


def _reserve() -> None:
    """Take the place of each standard stream that is closed."""
    for descriptor in (0, STDOUT, STDERR):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDONLY)  # gets the lowest number that is free: this one


def _text(printed: Printed) -> io.TextIOWrapper:
    # A raw file will do for a buffer, because nothing is to be buffered.
    return io.TextIOWrapper(cast(BinaryIO, printed), "utf-8", "backslashreplace", write_through=True)


def _stop(writers: Sequence[Writer], out: LineQueue, error: LineQueue) -> None:
    """Write what is queued, standard error last: it says what the other one did not take."""
    deadline = time.monotonic() + STOP_SECONDS
    *others, last = writers
    for writer in others:
        writer.stop(deadline)
    lost = out.dropped + (out.waiting if others else 0)
    if lost:
        logger.warning("lines of the decision log that were lost: %d", lost)
    last.stop(deadline)
