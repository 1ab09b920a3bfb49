"""Decisions that have something in common: how many, whose, since when, and one of them to look at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from authz_sidecar.observe.logged import Logged

SHOWN_SUBJECTS: Final = 5
NOBODY: Final = "(nobody known)"
Key = TypeVar("Key")


@dataclass(slots=True)
class Affected:
    """`first` and `last`: instants as the log writes them."""

    example: str
    first: str
    last: str
    subjects: Counter[str] = field(default_factory=Counter)

    def add(self, logged: Logged) -> None:
        self.first, self.last = min(self.first, logged.at), max(self.last, logged.at)
        self.subjects[logged.subject or NOBODY] += 1

    @property
    def count(self) -> int:
        return self.subjects.total()

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "decisions": self.count,
            "subjects": len(self.subjects.keys() - {NOBODY}),
            "by_subject": dict(self.subjects.most_common()),
            "example": self.example,
            "first": self.first,
            "last": self.last,
        }

    def counted(self) -> str:
        """Like "3 decisions of 2 subjects"."""
        count, known = self.count, len(self.subjects.keys() - {NOBODY})
        whose = f"{known:,} subject{'s' * (known != 1)}" if known else "nobody known"
        return f"{count:,} decision{'s' * (count != 1)} of {whose}"

    def worded(self) -> Iterator[str]:
        """The lines that follow a title."""
        most = self.subjects.most_common(SHOWN_SUBJECTS)
        more = len(self.subjects) - len(most)
        shown = ", ".join(f"{subject} ({count:,})" for subject, count in most)
        yield f"  for whom  {shown}{f' and {more:,} more' if more else ''}"
        yield f"  like      {self.example}"
        yield f"  from      {self.first} to {self.last}"


def note(found: dict[Key, Affected], key: Key, logged: Logged) -> None:
    """Count a decision among those of the same key."""
    if key not in found:
        found[key] = Affected(f"{logged.method} {logged.target}", logged.at, logged.at)
    found[key].add(logged)
