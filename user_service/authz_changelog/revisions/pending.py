"""What a run takes of what is marked.

All of it, when that is at most `LIMIT` entities. Otherwise the smallest transactions, and then a part of the
next larger one and a page of a mark of many: an import of 50,000 users neither delays a revocation, nor is
delayed for ever by small changes, nor is the lock held for long.

A mark is spent when its entities have been taken, in the same transaction. One of many stays until its last
page is taken, with the position it has come to: whoever waits for a mark waits for all that it stands for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from django.db.models import Count, Q, QuerySet

from authz_changelog.marks.kinds import ENTITIES
from authz_changelog.models import Mark
from authz_changelog.revisions import expansion
from authz_changelog.revisions.states import Key

LIMIT = 1000
"""Entities of a transaction that is surely one revision."""
PART = 400
"""Entities taken at a time from a transaction that has more: the lock is held only briefly."""
SMALL = 250
"""Marks of small transactions that one run takes before any larger one."""


class Wide(NamedTuple):
    """Marks of many entities that stand at the same position."""

    kind: str
    key: str
    position: str

    def marks(self) -> QuerySet[Mark]:
        return Mark.objects.filter(kind=self.kind, key=self.key, position=self.position)


@dataclass
class Batch:
    """`whole`: it is all that is marked."""

    keys: list[Key] = field(default_factory=list)
    turned: list[tuple[Wide, str | None]] = field(default_factory=list)
    whole: bool = True

    def marks(self) -> QuerySet[Mark]:
        """Those that the snapshot shows of what is taken: the states contain all those changes."""
        keys: dict[str, list[str]] = {}
        for kind, key in self.keys:
            keys.setdefault(kind, []).append(key)
        some = [Q(kind=kind, key__in=each) for kind, each in keys.items()]
        some += [Q(kind=each.kind, key=each.key, position=each.position) for each, _ in self.turned]
        return Mark.objects.filter(Q(*some, _connector=Q.OR)) if some else Mark.objects.none()

    def spend(self) -> None:
        for wide, position in self.turned:
            if position is not None:
                wide.marks().update(position=position)
        self.turned = [(wide, position) for wide, position in self.turned if position is None]
        self.marks().delete()

    def add(self, wide: Wide, count: int, *, parts: bool = True) -> None:
        """A page of at most so many entities; without `parts`, only if that is all."""
        page = expansion.page(*wide, count)
        if page.position is None or parts:
            self.keys += page.keys
            self.turned.append((wide, page.position))
        self.whole = self.whole and page.position is None


def take(*, hurried: bool) -> Batch:
    """What this run takes. `hurried`: while a lot is pending, small transactions are enough."""
    keys, wides = _marked(Mark.objects.all(), LIMIT)
    if len(keys) + len(wides) <= LIMIT:
        batch = Batch(keys)
        for wide in wides:
            batch.add(wide, LIMIT + 1 - len(batch.keys), parts=False)
        if batch.whole and len(batch.keys) <= LIMIT:
            return batch
    return _some(wides, hurried=hurried)


def _some(wides: list[Wide], *, hurried: bool) -> Batch:
    small, next_larger = _transactions()
    batch = Batch(_marked(Mark.objects.filter(tx__in=small), LIMIT)[0], whole=False)
    for wide in wides[:SMALL]:
        if len(batch.keys) < SMALL:
            batch.add(wide, SMALL - len(batch.keys), parts=False)
    if hurried and batch.keys:
        return batch
    left = [wide for wide in wides if wide not in dict(batch.turned)]
    if next_larger is not None:
        more = _marked(Mark.objects.filter(tx=next_larger), LIMIT)[0]
        batch.keys += more if len(more) <= LIMIT else more[:PART]
    if left:
        batch.add(left[0], PART if next_larger is None else PART // 2)
    return batch


def _marked(marks: QuerySet[Mark], limit: int) -> tuple[list[Key], list[Wide]]:
    """What is marked, in the order of the marks; only so much that more than `limit` can be told."""
    keys: dict[Key, None] = {}
    wides: dict[Wide, None] = {}
    rows = marks.order_by("id").values_list("kind", "key", "position")
    for kind, key, position in rows.iterator(chunk_size=limit):
        if kind in ENTITIES:
            keys[Key(kind, key)] = None
        else:
            wides[Wide(kind, key, position)] = None
        if len(keys) + len(wides) > limit:
            break
    return list(keys), list(wides)


def _transactions() -> tuple[list[int], int | None]:
    """Those with the fewest marks, `SMALL` marks in all, and the next one."""
    small: list[int] = []
    total = 0
    marks = Mark.objects.filter(kind__in=ENTITIES).values_list("tx")
    for tx, size in marks.annotate(size=Count("id")).order_by("size", "tx")[: SMALL + 1]:
        total += size
        if total > SMALL:
            return small, tx
        small.append(tx)
    return small, None
