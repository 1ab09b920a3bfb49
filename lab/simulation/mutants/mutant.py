"""What a mutant is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Edit:
    """`before`, found exactly once in `path`, becomes `after`."""

    path: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Mutant:
    """`seed`: one that catches it."""

    name: str
    edits: tuple[Edit, ...]
    seed: int | None = None
