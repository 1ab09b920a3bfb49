"""Nothing overtakes a loss: what keeps parts of what is pending from adding up to what nobody ever held.

While more is pending than one run takes, small changes go ahead of large ones. 3,000 members leave a group,
which is a lot; then the group is given a permission, which is little: logged at once, it would give all 3,000
what they never held. So, while anything is left that a run does not take,

* a user's state is logged as it is. It concerns nobody else; and what the groups that it names have lost
  is logged with it.
* what a group has *lost* is logged at once. It takes from its members only.
* what a group has *gained* is logged only when nobody who is a member, as far as the log knows, has changes
  pending that are not taken, and no other group has losses that are not. Otherwise it is postponed, until
  nothing but postponed gains is marked: all that was lost is then logged, and they can be taken in any parts.

So whatever a user holds at a revision, with his groups, is part of what he held at some commit, and these
commits never go back: losses leave a part of what it was; a state of his own is one of this snapshot, with
groups of which no more is logged than this snapshot shows; a group's gain reaches members who are all as this
snapshot shows them. A revision of everything that is marked needs none of this: it is this snapshot.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from django.db import connection

from authz_changelog.marks.kinds import GROUP, USER
from authz_changelog.marks.watched import Watched
from authz_changelog.models import Entity, Mark
from authz_changelog.revisions import differences, incarnations, states
from authz_changelog.revisions.differences import Difference
from authz_changelog.revisions.pending import Batch
from authz_changelog.revisions.states import Key

LOOKED_AT = 2000
"""So many members with pending changes are looked at before every gain is postponed."""


def prevent(changes: list[Difference], batch: Batch) -> list[Difference]:
    """What of these changes may be logged now; the rest is left in the batch for later."""
    users = [change for change in changes if change.key.kind == USER]
    groups = [change for change in changes if change.key.kind == GROUP]
    gaining = {change.key for change in groups if change != loss(change)}
    waiting = gaining & _waiting(gaining, batch)
    batch.postpone(_as_marked({incarnations.table_key(key.key) for key in waiting}, batch))
    besides = _groups_of(users) - {change.key for change in groups} if batch.groups_touched else set()
    parts = [loss(change) for change in differences.find(_primary(besides))]
    parts += [loss(change) if change.key in waiting else change for change in groups]
    return [*users, *(change for change in parts if change is not None)]


def in_order(changes: list[Difference]) -> list[list[Difference]]:
    """The same for changes that are too many for one revision: losses of groups, users, gains of groups."""
    users = [change for change in changes if change.key.kind == USER]
    groups = [change for change in changes if change.key.kind == GROUP]
    losses = [taken for change in groups if (taken := loss(change))]
    return [losses, users, [change for change in groups if change not in losses]]


def loss(change: Difference) -> Difference | None:
    """What of a change of a group only takes: `None` for nothing."""
    if change.state is None:
        return change
    if change.before is None:
        return None
    now, before = (set(json.loads(text)["permissions"]) for text in (change.state, change.before))
    if now <= before:
        return change
    left = states.canonical({"permissions": sorted(now & before)})
    return None if left == change.before else Difference(change.key, left, change.before)


def _as_marked(keys: set[str], batch: Batch) -> set[str]:
    """These groups, as the batch spells them: SQLite's triggers spell UUIDs in their own way."""
    watched = Watched()
    return {key for kind, key in batch.keys if kind == GROUP and watched.key(GROUP, key) in keys}


def _groups_of(users: Iterable[Difference]) -> set[Key]:
    return {Key(GROUP, name) for user in users if user.state for name in json.loads(user.state)["groups"]}


def _primary(groups: Iterable[Key]) -> list[Key]:
    return [Key(GROUP, incarnations.table_key(key.key)) for key in groups]


def _waiting(gaining: set[Key], batch: Batch) -> set[Key]:
    """The groups whose gains would reach somebody who is not yet as the snapshot shows him."""
    if not gaining or batch.only_gains:
        return set()
    # SQLite does not number transactions, and spells some keys otherwise: there nothing goes ahead.
    if batch.losses_left or connection.vendor != "postgresql":
        return gaining
    taken = {key for kind, key in batch.keys if kind == USER}
    pending = Mark.objects.filter(kind=USER, postponed=False).values("key")
    owner = "key" if Watched().subject_is_key else "owner"  # all of them, or a mark of all is left
    members = Entity.objects.filter(kind=USER, state__isnull=False, **{f"{owner}__in": pending})
    waiting: set[Key] = set()
    looked_at = 0
    for member in members.iterator(chunk_size=LOOKED_AT):
        if member.primary_key not in taken:
            looked_at += 1
            waiting |= {Key(GROUP, name) for name in member.parsed_state["groups"]}
        if looked_at >= LOOKED_AT or gaining <= waiting:
            return gaining
    return waiting
