"""What the replica's state machine asks of the code around it: effects to carry out at once, and steps.

`core.replica` says when; `replica.replica` does it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from authz_sidecar.core.entities import Change, Position


@dataclass(frozen=True, slots=True)
class Apply:
    """`applied` has moved to this revision; take over its entities before anything else runs."""

    change: Change


@dataclass(frozen=True, slots=True)
class Hold:
    """Kept until what comes before it has arrived."""


@dataclass(frozen=True, slots=True)
class Ignore:
    reason: Literal["duplicate", "foreign_epoch", "forked"]


Effect = Apply | Hold | Ignore


@dataclass(frozen=True, slots=True)
class Pull:
    """Ask the change feed for what comes after this position."""

    after: Position
    cause: Literal["gap", "more", "demand", "routine"]


@dataclass(frozen=True, slots=True)
class Resync:
    """Take another position: the store's if the User service knows it, else a snapshot's."""

    cause: Literal["start", "history_gone", "epoch"]


@dataclass(frozen=True, slots=True)
class AskHead:
    """A message names another epoch: ask which one is current."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do before this instant, unless something happens."""

    until: float


Step = Pull | Resync | AskHead | Wait
