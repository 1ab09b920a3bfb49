"""Makes up schedules: which writers and which work of ours, at which isolation levels, in which order."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass

from lab.schedules.catalogue import CATALOGUE, Writer
from lab.schedules.catalogue.writers import CROWD, PLAIN, REBIRTH
from lab.schedules.product import ACTIONS
from lab.schedules.schedule import GIVE_WAY, KILL, TO_THE_END, Move, Part, Schedule

LOW_LIMIT = 8
LIMITED = "limits"
KNOWN_FORMS = 0.6
"""Share of the schedules."""
FORMS = (
    "a3 b* r* a*",
    "r9 a* r*",
    "r9 a* s* r*",
    "a3 r9 a* r*",
    "a* r9 b* r* s*",
    "a2 b2 r* a* b* r*",
    "a* b* r9 s* r*",
    "a* r9 s9 b* r* s*",
)
"""`a3` stands for one to three statements."""
AKIN = 0.5
KILLED, WAITED_FOR = 0.15, 0.05
"""Shares of our work."""
OFTEN = {"run": 12, "sequence": 4, "head": 1, "snapshot": 2, "subject": 2, "changes": 2, "audit": 3}


@dataclass(frozen=True)
class Choice:
    """What schedules are made of. `only` and `without` name kinds, writers, actions of ours or `limits`."""

    database: str
    only: Collection[str] = ()
    without: Collection[str] = ()

    def writers(self) -> list[Writer]:
        return [
            writer
            for writer in CATALOGUE.values()
            if self.database in writer.databases and not {writer.name, writer.kind} & set(self.without)
        ]

    def actions(self) -> list[str]:
        return [name for name in ACTIONS if name not in self.without]


def schedules(choice: Choice, seed: int) -> Iterator[Schedule]:
    """Without end. Every writer has its turn before any has another one."""
    dice = random.Random(seed)  # noqa: S311 (repeatable, no secret)
    writers = choice.writers()
    leading = [
        writer for writer in writers if not choice.only or {writer.name, writer.kind} & set(choice.only)
    ]
    if not leading:
        raise ValueError(f"no writer and no kind of this database is called {' or '.join(choice.only)}")
    company = [writer for writer in writers if not choice.only or writer in leading or writer.kind == PLAIN]
    while True:
        for writer in dice.sample(leading, len(leading)):
            make = _known_form if dice.random() < KNOWN_FORMS else _any_form
            yield make(choice, dice, writer, company)


def _known_form(choice: Choice, dice: random.Random, first: Writer, company: list[Writer]) -> Schedule:
    """One of the forms in which something is most easily lost."""
    form = dice.choice(FORMS).split()
    names = sorted({word[0] for word in form})
    writers = [first, *_some(dice, [name for name in names if name in "abc"][1:], first, company)]
    dice.shuffle(writers)
    moves = [
        Move(word[0], TO_THE_END if word[1:] == "*" else dice.randint(1, int(word[1:]))) for word in form
    ]
    ours = [name for name in names if name in "rst"]
    return _of(choice, dice, writers, ours, lambda _: moves)


def _any_form(choice: Choice, dice: random.Random, first: Writer, company: list[Writer]) -> Schedule:
    others = "bc"[: dice.choices((0, 1, 2), (15, 60, 25))[0]]
    writers = [first, *_some(dice, others, first, company)]
    dice.shuffle(writers)
    ours = "rst"[: dice.choices((1, 2, 3), (40, 40, 20))[0]]
    return _of(choice, dice, writers, ours, lambda parts: list(_moves(dice, parts)))


def _some(dice: random.Random, names: Iterable[str], first: Writer, company: list[Writer]) -> list[Writer]:
    """One for each name, half of them of the first one's kind; at most one of all locks tables for itself."""
    some: list[Writer] = []
    for _ in names:
        taken = any(writer.exclusive for writer in (first, *some))
        possible = [writer for writer in company if not (taken and writer.exclusive)]
        akin = [writer for writer in possible if writer.kind == first.kind]
        some.append(dice.choice(akin if akin and dice.random() < AKIN else possible))
    return some


def _of(
    choice: Choice,
    dice: random.Random,
    writers: list[Writer],
    ours: Iterable[str],
    moves: Callable[[list[Part]], list[Move]],
) -> Schedule:
    parts = [_writer(choice, dice, name, writer) for name, writer in zip("abc", writers, strict=False)]
    actions = choice.actions()
    weights = [OFTEN.get(name, 1) for name in actions]
    parts += [Part(name, dice.choices(actions, weights)[0]) for name in ours]
    many = any(writer.kind in (CROWD, REBIRTH) for writer in writers)
    low = 0 if LIMITED in choice.without else 0.6 if many else 0.1
    return Schedule(
        choice.database, tuple(parts), tuple(moves(parts)), LOW_LIMIT if dice.random() < low else None
    )


def _writer(choice: Choice, dice: random.Random, name: str, writer: Writer) -> Part:
    level = "" if choice.database == "sqlite" or writer.autocommit else dice.choice(("rc", "rc", "rr", "ser"))
    return Part(name, writer.name, level, answered=dice.random() < 0.15)


def _moves(dice: random.Random, parts: list[Part]) -> Iterator[Move]:
    """Everybody's moves in their own order, and all of them in any order."""
    left = {part.name: _of_one(dice, part) for part in parts}
    turns = [name for name, moves in left.items() for _ in moves]
    dice.shuffle(turns)
    for name in turns:
        yield left[name].pop(0)


def _of_one(dice: random.Random, part: Part) -> list[Move]:
    """Ours have more statements than writers."""
    ours = part.what in ACTIONS
    pauses = dice.choices((0, 1, 2), (50, 35, 15) if ours else (25, 50, 25))[0]
    moves = [Move(part.name, dice.randint(1, 10 if ours else 3)) for _ in range(pauses)]
    if ours and moves and dice.random() < KILLED:
        return [*moves, Move(part.name, KILL)]
    if ours and dice.random() < WAITED_FOR:
        moves.append(Move(part.name, GIVE_WAY))
    return [*moves, Move(part.name, TO_THE_END)]
