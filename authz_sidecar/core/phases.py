"""Where the replica of a process stands, and what leads from one phase to another."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class Phase(StrEnum):
    """Where the replica of this process stands."""

    COLD = "cold"
    SYNCING = "syncing"
    LIVE = "live"
    CATCHING_UP = "catching_up"
    STALE = "stale"


class Event(StrEnum):
    BEGAN = "began"
    CAUGHT_UP = "caught_up"
    GAP = "gap"
    EXPIRED = "expired"


TRANSITIONS: Mapping[tuple[Phase, Event], Phase] = MappingProxyType(
    {
        (Phase.COLD, Event.BEGAN): Phase.SYNCING,
        (Phase.SYNCING, Event.CAUGHT_UP): Phase.LIVE,
        (Phase.LIVE, Event.GAP): Phase.CATCHING_UP,
        (Phase.LIVE, Event.EXPIRED): Phase.STALE,
        (Phase.CATCHING_UP, Event.CAUGHT_UP): Phase.LIVE,
        (Phase.CATCHING_UP, Event.EXPIRED): Phase.STALE,
        (Phase.STALE, Event.CAUGHT_UP): Phase.LIVE,
        (Phase.STALE, Event.GAP): Phase.CATCHING_UP,
    }
)
"""Every other pair leaves the phase as it is."""
