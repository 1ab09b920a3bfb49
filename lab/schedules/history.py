"""What happened in one schedule, as far as the judge needs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lab.schedules.product import Entities
from lab.schedules.schedule import Schedule
from lab.schedules.world import State


@dataclass(frozen=True)
class Commit:
    by: str
    state: State
    """What the tables then said."""
    ends: tuple[str, ...] = ()
    """Users who ended and came back in it."""


@dataclass(frozen=True)
class Revision:
    number: int
    entities: str
    """As logged, JSON."""
    commits: int
    """How many there were when it was made: it cannot contain a later one."""


@dataclass(frozen=True)
class Claim:
    """Somebody was told that `revision` contains all commits up to number `contains`."""

    by: str
    revision: int
    contains: int
    own: bool = False
    """Only commit `contains` itself, not those before it."""
    shows: Mapping[str, Any] | None = None
    commits: int = 0
    """How many there were when it was said."""


@dataclass
class History:
    schedule: Schedule
    begin: int
    """The revision before it."""
    entities: Entities
    """The log's, at that revision."""
    commits: list[Commit]
    """The first one is what there was before."""
    revisions: list[Revision] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    lossless: list[tuple[int, int]] = field(default_factory=list)
    """At this revision and this commit nothing was marked that could have taken anything from anybody."""
    wrong: list[str] = field(default_factory=list)
    """What was seen to be wrong while it went on."""
    unproved: bool = False
    """From some commit on nothing was proved, and only what was claimed can be judged."""
    kept: Entities = field(default_factory=dict)
    """What the log keeps as newest states in the end."""
    trace: list[str] = field(default_factory=list)
