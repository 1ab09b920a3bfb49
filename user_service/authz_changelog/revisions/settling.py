"""Which revision came of what a writer did, or that none did: said by the run that takes its mark."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from django.db.models import Case, Exists, OuterRef, Q, QuerySet, Value, When

from authz_changelog.marks.kinds import GROUP, USER
from authz_changelog.marks.watched import Watched
from authz_changelog.models import Change, Mark
from authz_changelog.revisions import incarnations
from authz_changelog.revisions.states import Key


def settle(taken: Collection[Key], ended: Collection[Key], logged: Mapping[Key, int], *, whole: bool) -> None:
    """After the marks were spent: what is still marked, or of many and in part, waits for more runs.

    `taken`: entities by their primary keys. `ended`: groups that are no more, `logged`: the revisions that
    entities came into, both by what the log calls them. `whole`: nothing is marked any more.
    """
    pending = Change.objects.filter(pending=True)
    single = pending.filter(of_many=False)
    if taken and (whole or single.exists()):
        settled = single.filter(_of_any(taken))
        marked = Mark.objects.filter(kind=OuterRef("kind"), key=OuterRef("key"))
        if not whole:
            settled = settled.filter(~Exists(marked))
        settled.update(pending=False, revision=_revision(taken, ended, logged))
        if whole:  # what has no mark then had one that a version spent which knew no history
            single.filter(~Exists(marked)).update(pending=False)
    of_many = pending.filter(of_many=True)
    if of_many.exists():
        _settle_some(of_many, logged)


def _settle_some(of_many: QuerySet[Change], logged: Mapping[Key, int]) -> None:
    if logged:
        of_many.filter(revision=None).update(revision=min(logged.values()))
        of_many.update(last_revision=max(logged.values()))
    of_many.filter(~Exists(Mark.objects.filter(tx=OuterRef("tx")))).update(pending=False)


def _revision(taken: Collection[Key], ended: Collection[Key], logged: Mapping[Key, int]) -> Case | int | None:
    """The last one, where there are several: of a group that ended, and of the next with its key.

    Leaving a group that is no more is in the revision of the group's end, where the user has none.
    """
    numbers = set(logged.values())
    if not numbers:
        return None
    watched = Watched()
    spelled = {Key(USER, watched.key(USER, key)): key for kind, key in taken if kind == USER}
    if len(numbers) == 1 and len(spelled) == len(taken) and spelled.keys() <= logged.keys():
        return numbers.pop()  # mostly so, and in an import: they need not be named again
    whens, ends = [], []
    for revision in sorted(numbers, reverse=True):
        keys = [key for key, number in logged.items() if number == revision]
        users = [spelled[key] for key in keys if key in spelled]
        whens.append(When(_of(USER, users) | _of(GROUP, _table_keys(keys)), then=Value(revision)))
        gone = _table_keys(set(keys) & set(ended))
        ends.append(When(what=GROUP, came=False, item__in=gone, then=Value(revision)))
    return Case(*whens, *ends, default=None)


def _table_keys(keys: Collection[Key]) -> list[str]:
    return [incarnations.table_key(key.key) for key in keys if key.kind == GROUP]


def _of_any(taken: Collection[Key]) -> Q:
    users = [key for kind, key in taken if kind == USER]
    groups = [key for kind, key in taken if kind == GROUP]
    if not groups:
        return _of(USER, users)
    # SQLite chooses an index for each branch from what the branch says.
    return Q(_of(USER, users), pending=True) | Q(_of(GROUP, groups), pending=True)


def _of(kind: str, keys: Collection[str]) -> Q:
    return Q(kind=kind, key__in=keys)
