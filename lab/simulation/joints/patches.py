"""What the product's modules find while a world lasts: its broker, its names and its intervals."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from types import SimpleNamespace
from typing import Any
from unittest import mock
from uuid import UUID

from authz_sidecar.feed import line
from authz_sidecar.replica import drift, subscription
from lab.simulation.plan import Setup

MAX_UNREAD = 20_000
"""Bytes that a worker may leave unread: so few that some do, where the product lets them leave megabytes."""

Connect = Callable[[], Any]


@contextmanager
def patched(setup: Setup, connect: Connect) -> Iterator[None]:
    """While it lasts the product's modules find the world's broker, and its intervals are the plan's."""
    numbers = count(1)

    def names() -> UUID:
        return UUID(int=next(numbers))

    aiormq = SimpleNamespace(connect=lambda _url: connect())
    with (
        mock.patch.object(subscription, "aiormq", aiormq),
        mock.patch.object(subscription, "uuid4", names),
        mock.patch.object(secrets, "token_hex", lambda size: f"{next(numbers):0{2 * size}x}"),
        mock.patch.object(line, "MAX_UNREAD", MAX_UNREAD),
        mock.patch.object(drift, "INTERVAL", setup.drift_interval),
        mock.patch.object(drift, "BUCKETS", setup.drift_buckets),
    ):
        yield


@contextmanager
def logs(failed: Callable[[str], object]) -> Iterator[None]:
    """Without the product's log lines, which cost more than they tell.

    Only what it logs of exceptions that it did not expect is handed on.
    """
    logger = logging.getLogger("authz_sidecar")
    handler = _Unexpected(failed)
    level, propagate = logger.level, logger.propagate
    logger.setLevel(logging.ERROR)
    logger.propagate = False
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate


class _Unexpected(logging.Handler):
    def __init__(self, failed: Callable[[str], object]) -> None:
        super().__init__()
        self._failed = failed

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self._failed(f"{record.getMessage()}: {record.exc_info[1]!r}")
