"""The queue of lines is bounded in bytes, and never blocks."""

from __future__ import annotations

from queue import SimpleQueue

from authz_sidecar.observe.lines import LINE_OVERHEAD, LineQueue


def test_what_does_not_fit_is_counted() -> None:
    """Long lines and short ones: what counts is what they take."""
    queue = LineQueue(SimpleQueue(), max_bytes=10 * (100 + LINE_OVERHEAD))
    for _ in range(12):
        queue.put("x" * 99 + "\n")
    assert (queue.waiting, queue.dropped) == (10, 2)
    queue.put("\n")
    assert queue.dropped == 3


def test_what_is_taken_counts_until_it_is_written() -> None:
    queue = LineQueue(SimpleQueue(), max_bytes=100 + LINE_OVERHEAD)
    line = "x" * 99 + "\n"
    queue.put(line)
    taken = queue.take()
    queue.put("lost\n")
    assert (taken, queue.waiting, queue.dropped) == ([line], 1, 1)
    queue.written(taken, lost=1)
    queue.put("kept\n")
    assert (queue.take(), queue.waiting, queue.dropped) == (["kept\n"], 1, 2)


def test_whoever_writes_is_called_once_for_all_that_is_queued() -> None:
    wake: SimpleQueue[None] = SimpleQueue()
    queue = LineQueue(wake)
    for _ in range(3):
        queue.put("a\n")
    assert wake.qsize() == 1
    queue.take()
    queue.put("b\n")
    assert wake.qsize() == 2


def test_lines_in_other_alphabets_take_more() -> None:
    queue = LineQueue(SimpleQueue(), max_bytes=100 + LINE_OVERHEAD)
    queue.put("ж" * 99 + "\n")
    assert queue.dropped == 1
