"""SIGINT and SIGTERM: they unwind the program, but never in the midst of starting or ending a child."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


def exit_on_sigterm() -> None:
    """Lets SIGTERM unwind the program as Ctrl-C does, so that `with` blocks end what they started."""

    def unwind(*_: object) -> None:
        raise SystemExit(128 + signal.SIGTERM)

    signal.signal(signal.SIGTERM, unwind)


@contextmanager
def undisturbed() -> Iterator[Sequence[int]]:
    """SIGINT and SIGTERM wait meanwhile; those that have come so far are in what it yields.

    An exception in the midst of `subprocess` would lose sight of a child, or leave its lock locked.
    """
    came: list[int] = []
    ours = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    if threading.current_thread() is not threading.main_thread():
        ours = {}  # signals are the main thread's
    try:
        for number, handler in ours.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, lambda number, _: came.append(number))
        yield came
    finally:
        for number, handler in ours.items():
            signal.signal(number, handler)
        for late in came:
            signal.raise_signal(late)
