"""What a run takes of what is marked.

All of it, when that is at most `LIMIT` entities. Otherwise groups and the smallest transactions, and then a
part of the next larger one and a page of marks of many: an import of 50,000 users neither delays a
revocation, nor is delayed for ever by small changes, nor is the lock held for long. What must not go ahead of
anything is then postponed (`overtaking`). Groups that have ended come first: nobody is a member any more.

A mark is spent when its entities have been taken, in the same transaction. One of many stays until its last
page is taken, with the position it has come to: whoever waits for a mark waits for all that it stands for.
"""

# ruff: noqa: S608 (this module writes SQL from the names of our own tables)
from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from authz_changelog import sql
from authz_changelog.marks.kinds import ENDED, ENTITIES, GROUP, USER
from authz_changelog.marks.watched import Watched, column
from authz_changelog.models import Mark
from authz_changelog.revisions import expansion, incarnations
from authz_changelog.revisions.states import Key

LIMIT = 1000
"""Entities of a transaction that is surely one revision."""
PART = 400
"""Entities taken at a time from a transaction that has more: the lock is held only briefly."""
PAGE = 1000
"""Entities taken at a time of marks of many, when nothing else is pending: most of them are as they were."""
SMALL = 250
"""Marks of small transactions that one run takes before any larger one."""
_SIZES = """
WITH RECURSIVE older AS (
  SELECT min(tx) AS tx FROM {marks} WHERE kind = 'user'
  UNION ALL
  SELECT (SELECT min(tx) FROM {marks} AS mark WHERE kind = 'user' AND mark.tx > older.tx)
  FROM older WHERE older.tx IS NOT NULL
), newer AS (
  SELECT max(tx) AS tx FROM {marks} WHERE kind = 'user'
  UNION ALL
  SELECT (SELECT max(tx) FROM {marks} AS mark WHERE kind = 'user' AND mark.tx < newer.tx)
  FROM newer WHERE newer.tx IS NOT NULL
)
SELECT tx, (
  SELECT count(*) FROM (
    SELECT 1 FROM {marks} AS mark WHERE mark.tx = each.tx AND kind = 'user' LIMIT {enough}
  ) AS its
) AS size FROM (
  SELECT tx FROM (SELECT tx FROM older WHERE tx IS NOT NULL LIMIT {most}) AS oldest
  UNION SELECT tx FROM (SELECT tx FROM newer WHERE tx IS NOT NULL LIMIT {most}) AS newest
) AS each ORDER BY size, tx
"""
"""Of the oldest and the newest transactions, as far as sizes matter: to count the marks of an import would
take longer, in every run, than all else. Among the newest is who comes while large ones wait."""


class Wide(NamedTuple):
    """Marks of many entities that stand at the same position."""

    kind: str
    keys: tuple[str, ...]
    position: str
    postponed: bool

    def where(self) -> sql.Statement:
        """Which marks, in SQL."""
        where, parameters = _of(self.kind, self.keys)
        return f"{where} AND position = %s", [*parameters, self.position]

    def each(self) -> list[Wide]:
        return [self._replace(keys=(key,)) for key in self.keys]


class Marked(NamedTuple):
    """What is marked: entities, marks of many, groups that have ended, in the order of the marks."""

    keys: list[Key]
    wides: list[Wide]
    ended: list[str]
    total: int


@dataclass
class Batch:
    """What a run takes: entities by their primary keys, groups that have ended by what the log calls them."""

    keys: list[Key] = field(default_factory=list)
    ended: list[Key] = field(default_factory=list)
    whole: bool = False
    """It is all that is marked."""
    groups_touched: bool = False
    """Groups may have lost something that is not logged; otherwise only users are marked."""
    losses_left: bool = False
    """More is pending that could take from the members of any group."""
    only_gains: bool = False
    """It is some of what was postponed, and nothing else is marked."""
    _ends: list[str] = field(default_factory=list)
    _turned: dict[Wide, str | None] = field(default_factory=dict)
    """Where marks of many are to stand then."""
    _postponed: set[str] = field(default_factory=set)

    def _where(self) -> sql.Statement:
        """Marks that the snapshot shows of what is taken, in SQL: the states contain all those changes."""
        keys: dict[str, list[str]] = {ENDED: self._ends}
        for kind, key in self.keys:
            keys.setdefault(kind, []).append(key)
        some = [_of(kind, each) for kind, each in keys.items() if each]
        some += [wide.where() for wide in self._turned]
        conditions = " OR ".join(condition for condition, _ in some)
        return conditions or "FALSE", [each for _, parameters in some for each in parameters]

    def marked_at(self) -> sql.Statement:
        """When the first of these changes was written, in SQL."""
        where, parameters = self._where()
        return f"(SELECT min(marked_at) FROM {sql.table(Mark)} WHERE {where})", parameters

    def spend(self) -> sql.Statement:
        """Deletes the marks of what was taken, but for what is to be continued or was postponed."""
        stay = [] if self.whole else self._continued()
        where, parameters = self._where()
        if stay:
            these, ids = sql.among(stay)
            where, parameters = f"({where}) AND NOT id {these}", [*parameters, *ids]
        return f"DELETE FROM {sql.table(Mark)} WHERE {where}", parameters

    def _continued(self) -> list[int]:
        """The marks that stay: of what has been begun, or is for later."""
        stay: list[int] = []
        for wide, position in self._turned.items():
            again = expansion.again(wide.kind, wide.keys)
            then = again if position is None and self._postponed else position
            if then is not None:
                where, parameters = wide.where()
                rows = sql.execute(f"SELECT id FROM {sql.table(Mark)} WHERE {where}", parameters)
                marks = Mark.objects.filter(pk__in=(continued := [pk for (pk,) in rows]))
                marks.update(position=then, postponed=wide.postponed or then == again)
                stay += continued
        waiting = Mark.objects.filter(kind=GROUP, key__in=self._postponed)
        waiting.update(postponed=True)
        return [*stay, *waiting.values_list("pk", flat=True)]

    def end(self, groups: list[str], names: list[Key]) -> None:
        self._ends, self.ended = groups, names
        self.keys += (Key(GROUP, key) for key in groups)

    def add_whole(self, wide: Wide, count: int) -> bool:
        """All that is left of it, if that is at most so many entities."""
        page = expansion.page(*wide[:3], count, whole=True)
        return page.position is None and self._add(wide, page, None)

    def add_losses(self, wide: Wide, count: int) -> bool:
        """All that could have lost something, if that is at most so many entities."""
        page = expansion.page(*wide[:3], count)
        then = None if wide.position == "" else page.position
        return (page.position is None or page.again) and self._add(wide, page, then)

    def add_page(self, wide: Wide, count: int) -> bool:
        """So many entities. False when more is left that could have lost something."""
        page = expansion.page(*wide[:3], count)
        self._add(wide, page, page.position)
        return page.position is None or page.again

    def _add(self, wide: Wide, page: expansion.Page, then: str | None) -> bool:
        self.keys = list(dict.fromkeys([*self.keys, *page.keys]))
        self._turned[wide] = then
        return True

    def postpone(self, groups: set[str]) -> None:
        self._postponed = groups

    def __bool__(self) -> bool:
        return bool(self.keys or self._turned)


def only_gains() -> bool:
    """Whether everything that was taken from anybody is logged, as far as the snapshot shows.

    What is marked then has only added to what somebody holds, or is postponed, its losses logged. So whatever
    the log says that a user holds, with his groups, he does hold.
    """
    return not Mark.objects.filter(postponed=False).exclude(gain=True).exists()


def reading() -> sql.Select:
    """The first marks, as many as tell whether there are too many for one run."""
    return _page(LIMIT)


def take(first: list[sql.Row], *, hurried: bool) -> Batch:
    """What this run takes. `first` are the marks that were read (`reading`).

    `hurried`: while a lot is pending, small transactions are enough.
    """
    marked = _marked(LIMIT, first=first)
    begun = any(wide.position and not wide.postponed for wide in marked.wides)  # it is known to be of many
    fits = marked.total <= LIMIT and not begun
    ends = marked.ended if fits else _marked(LIMIT, "kind = %s", [ENDED]).ended[:LIMIT]
    names = incarnations.end([Watched().key(GROUP, key) for key in ends]) if ends else []
    if fits:
        batch = Batch(marked.keys)
        batch.end(ends, names)
        batch.whole = all([batch.add_whole(wide, LIMIT + 1) for wide in marked.wides])
        if batch.whole and len(batch.keys) <= LIMIT:
            return batch
    batch = Batch()
    batch.end(ends, names)
    if len(ends) == LIMIT and Mark.objects.filter(kind=ENDED).exclude(key__in=ends).exists():
        batch.losses_left = True
    else:
        _add_some(batch, hurried=hurried)
    return batch


def _add_some(batch: Batch, *, hurried: bool) -> None:
    fresh = Mark.objects.filter(postponed=False)
    others = _marked(LIMIT, "NOT postponed AND kind <> %s", [USER])
    small, next_larger = _transactions()
    batch.keys += others.keys
    if small:
        these, transactions = sql.among(small)
        batch.keys += _marked(
            LIMIT, f"NOT postponed AND kind = %s AND tx {these}", [USER, *transactions]
        ).keys
    # Those that have been begun are known to be of many.
    left = [wide for wide in others.wides if wide.position or not batch.add_losses(wide, SMALL)]
    left = [one for wide in left for one in wide.each() if one == wide or not batch.add_losses(one, SMALL)]
    if len(batch.keys) <= PART and not (hurried and batch):
        _add_more(batch, next_larger, left)
    batch.groups_touched = others.total > 0 or bool(batch.ended)
    batch.losses_left = others.total > LIMIT or bool(left)
    if not batch and not fresh.exists():
        _add_gains(batch)


def _add_more(batch: Batch, transaction: int | None, wides: list[Wide]) -> None:
    """A part of a large transaction, and a page of a mark of many."""
    if transaction is not None:
        more = _marked(LIMIT, "kind = %s AND tx = %s", [USER, transaction]).keys
        batch.keys += more if len(more) <= LIMIT else more[:PART]
    if wides and batch.add_page(wides[0], PAGE if transaction is None else PART // 2):
        del wides[0]


def _add_gains(batch: Batch) -> None:
    """Nothing but postponed gains is marked."""
    batch.only_gains = True
    postponed = _marked(PART)
    batch.keys += postponed.keys[:PART]
    if not batch.keys and postponed.wides:
        batch.add_page(postponed.wides[0], PAGE)


def _of(kind: str, keys: Collection[str]) -> sql.Statement:
    these, parameters = sql.among(keys)
    return f"kind = %s AND key {these}", [kind, *parameters]


def _marked(
    limit: int, where: str = "TRUE", parameters: Sequence[Any] = (), first: list[sql.Row] | None = None
) -> Marked:
    """Only so much that more than `limit` can be told."""
    found: dict[tuple[str, str, str, bool], None] = {}
    for kind, key, position, postponed, _ in _rows(limit, where, parameters, first):
        found[(kind, key, position, postponed) if kind not in ENTITIES else (kind, key, "", False)] = None
        if len(found) > limit:
            break
    wides: dict[tuple[str, str, bool], list[str]] = {}
    for kind, key, position, postponed in found:
        if kind not in (*ENTITIES, ENDED):
            wides.setdefault((kind, position, postponed), []).append(key)
    return Marked(
        [Key(kind, key) for kind, key, *_ in found if kind in ENTITIES],
        [Wide(kind, tuple(keys), position, late) for (kind, position, late), keys in wides.items()],
        [key for kind, key, *_ in found if kind == ENDED],
        len(found),
    )


def _rows(
    limit: int, where: str, parameters: Sequence[Any], first: list[sql.Row] | None
) -> Iterator[sql.Row]:
    """In the order of the marks, as many at a time as are wanted at least."""
    rows = sql.read(_page(limit, where, parameters))[0] if first is None else first
    yield from rows
    while len(rows) > limit:
        (rows,) = sql.read(_page(limit, where, parameters, after=rows[-1][-1]))
        yield from rows


def _page(limit: int, where: str = "TRUE", parameters: Sequence[Any] = (), after: int = 0) -> sql.Select:
    fields = [column(Mark, name) for name in ("kind", "key", "position", "postponed", "id")]
    page = f"({where}) AND id > %s ORDER BY id LIMIT %s"
    return sql.Select(fields, page, [*parameters, after, limit + 1])


def _transactions() -> tuple[list[int], int | None]:
    """Those with the fewest marks of users, `SMALL` marks in all, and the next one."""
    small: list[int] = []
    total = 0
    for tx, size in sql.execute(_SIZES.format(marks=sql.table(Mark), enough=LIMIT + 1, most=SMALL // 2)):
        total += size
        if total > SMALL:
            return small, tx
        small.append(tx)
    return small, None
