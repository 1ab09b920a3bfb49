"""Holds every exchange and every client's connection to what `proxy/states.py` says may follow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import FunctionType
from typing import Any
from unittest.mock import patch

from authz_sidecar.proxy.downstream import Downstream
from authz_sidecar.proxy.exchange import Exchange
from authz_sidecar.proxy.states import AFTER, CLIENT_AFTER

WATCHABLE = isinstance(Exchange._enter, FunctionType)
"""Only the code as it is written can be watched."""

Steps = set[tuple[Any, Any]]
"""From which state to which."""

LAWFUL: Steps = {
    *((before, after) for before, may in AFTER.items() for after in may),
    *((before, after) for before, may in CLIENT_AFTER.items() for after in may),
}


@contextmanager
def watched() -> Iterator[Steps]:
    """The steps taken meanwhile; fails when one of them may not be."""
    steps: Steps = set()
    with (
        patch.object(Exchange, "_enter", _noting(Exchange._enter, steps)),
        patch.object(Downstream, "_enter", _noting(Downstream._enter, steps)),
    ):
        yield steps
    assert steps <= LAWFUL, steps - LAWFUL


def _noting(enter: Any, steps: Steps) -> Any:
    def noting(self: Any, state: Any) -> None:
        steps.add((self._state, state))
        enter(self, state)

    return noting
