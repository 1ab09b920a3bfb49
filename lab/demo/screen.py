"""What the walk-through prints: numbered steps, one aligned line for each request and its answer."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lab.stack.client import Answer

BOLD, DIM, GREEN, YELLOW, RED = "1", "2", "32", "33", "31"
_ANSWER_COLUMN = 62
_COLOURED = sys.stdout.isatty() and "NO_COLOR" not in os.environ


def paint(text: str, style: str) -> str:
    return f"\033[{style}m{text}\033[0m" if _COLOURED else text


def say(text: str = "") -> None:
    print(text, flush=True)


class Screen:
    """Numbers the steps."""

    def __init__(self) -> None:
        self._steps = 0

    def step(self, title: str) -> None:
        self._steps += 1
        say(f"\n{paint(f'{self._steps:2}', DIM)}  {paint(title, BOLD)}")

    def exchange(self, request: str, answer: Answer, remark: str) -> None:
        colour = GREEN if answer.status < 400 else YELLOW if answer.status < 500 else RED
        line = f"    {request:<{_ANSWER_COLUMN}} {paint(str(answer.status), colour)}"
        say(f"{line}  {remark:<22} {paint(f'{answer.milliseconds:7.1f} ms', DIM)}")

    def note(self, text: str) -> None:
        say(f"    {text}")

    def result(self, text: str) -> None:
        say(f"    {paint(text, BOLD)}")


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """A line that names each part when it starts, and in the end how long all of them took."""
    began = time.monotonic()
    print("starting", end="", flush=True)
    yield lambda name: print(f" {name}", end="", flush=True)
    say(paint(f"  ready in {time.monotonic() - began:.0f} s", DIM))
