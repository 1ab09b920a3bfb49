"""Sidecars that are stopped when their test ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.stack.alone import Alone


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Alone]]:
    """Starts a sidecar; returns once it takes requests."""
    running: list[Alone] = []

    def start(upstream: str, **settings: object) -> Alone:
        program = Alone(upstream, tmp_path, **settings)
        running.append(program)
        program.ready()
        return program

    yield start
    for program in running:
        program.process.stop()
