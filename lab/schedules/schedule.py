"""A schedule: who takes part, and in which order each goes on by how many statements.

Its text can be read, copied and replayed:

    postgresql limits=8 a=grant:rc b=rename:rr r=run | a2 r3 b* r! a*

`a2` lets `a` go on by two statements, `b*` to its end, `r!` kills `r` where it is, `r?` waits until `r`,
who waits for a writer, gives way. A writer is followed by its isolation level (`rc`, `rr`, `ser`), and by
`+` when its author waits for the revision that contains the write.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

TO_THE_END, KILL, GIVE_WAY = -1, -2, -3
SIGNS = {"*": TO_THE_END, "!": KILL, "?": GIVE_WAY}
ISOLATION = {"rc": "READ COMMITTED", "rr": "REPEATABLE READ", "ser": "SERIALIZABLE"}
WORD = re.compile(r"([a-z])(\d+|[*!?])")


@dataclass(frozen=True)
class Part:
    """One actor: a writer of the catalogue, or an action of ours."""

    name: str
    what: str
    isolation: str = ""
    answered: bool = False

    def __str__(self) -> str:
        level = f":{self.isolation}" if self.isolation else ""
        return f"{self.name}={self.what}{level}{'+' if self.answered else ''}"


@dataclass(frozen=True)
class Move:
    name: str
    statements: int

    def __str__(self) -> str:
        signs = {value: sign for sign, value in SIGNS.items()}
        return f"{self.name}{signs.get(self.statements, self.statements)}"


@dataclass(frozen=True)
class Schedule:
    database: str
    parts: tuple[Part, ...]
    moves: tuple[Move, ...]
    limit: int | None = None
    """The sequencer's limit of entities, when it is not its own."""
    crowd: int | None = None
    """Members of the large group, when they are more than few."""

    def __str__(self) -> str:
        options = [f"{name}={value}" for name, value in self._options() if value]
        head = " ".join([self.database, *options, *map(str, self.parts)])
        return f"{head} | {' '.join(map(str, self.moves))}"

    def _options(self) -> tuple[tuple[str, int | None], ...]:
        return ("limits", self.limit), ("crowd", self.crowd)

    def without(self, name: str) -> Schedule:
        parts = tuple(part for part in self.parts if part.name != name)
        return replace(self, parts=parts, moves=tuple(move for move in self.moves if move.name != name))


def parse(text: str) -> Schedule:
    """Raises `ValueError` for what is no schedule."""
    head, bar, tail = text.partition("|")
    database, *words = head.split()
    if not bar or database not in ("postgresql", "sqlite"):
        raise ValueError(f"a schedule looks like {__doc__.splitlines()[4].strip()!r}" if __doc__ else text)
    options, parts = {}, []
    for word in words:
        name, _, value = word.partition("=")
        if name in ("limits", "crowd"):
            options[name] = int(value)
        else:
            parts.append(_part(name, value))
    moves = tuple(_move(word) for word in tail.split())
    return Schedule(database, tuple(parts), moves, options.get("limits"), options.get("crowd"))


def _part(name: str, value: str) -> Part:
    what, _, isolation = value.removesuffix("+").partition(":")
    return Part(name, what, isolation, answered=value.endswith("+"))


def _move(word: str) -> Move:
    found = WORD.fullmatch(word)
    if found is None:
        raise ValueError(f"{word!r} is no move: a letter, then a number, *, ! or ?")
    return Move(found[1], SIGNS.get(found[2]) or int(found[2]))
