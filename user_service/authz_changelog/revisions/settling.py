"""Which revision came of what a writer did, or that none did: said by the run that takes its mark."""

# ruff: noqa: S608 (this module writes SQL from the names of our own tables)
from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from authz_changelog import sql
from authz_changelog.marks.kinds import GROUP, USER
from authz_changelog.marks.watched import Watched
from authz_changelog.models import Change, Mark
from authz_changelog.revisions import incarnations
from authz_changelog.revisions.states import Key


def settle(
    taken: Collection[Key], ended: Collection[Key], logged: Mapping[Key, int], *, whole: bool
) -> Iterator[sql.Statement]:
    """For when the marks are spent: what is still marked, or of many and in part, waits for more runs.

    `taken`: entities by their primary keys. `ended`: groups that are no more, `logged`: the revisions that
    entities came into, both by what the log calls them. `whole`: nothing is marked any more.
    """
    changes, marks = sql.table(Change), sql.table(Mark)
    bounds = [min(logged.values()), max(logged.values())] if logged else [None, None]
    is_taken, keys = _of_any(taken)
    revision, named = _revision(taken, ended, logged)
    if whole:  # what has no mark had one that a version spent which knew no history
        yield (
            f"UPDATE {changes} SET pending = FALSE, revision = CASE WHEN of_many THEN coalesce(revision, %s)"
            f" WHEN {is_taken} THEN {revision} ELSE revision END,"
            " last_revision = CASE WHEN of_many THEN coalesce(%s, last_revision) END WHERE pending",
            [bounds[0], *keys, *named, bounds[1]],
        )
        return
    if taken:
        marked = f"SELECT 1 FROM {marks} WHERE {marks}.kind = {changes}.kind AND {marks}.key = {changes}.key"
        yield (
            f"UPDATE {changes} SET pending = FALSE, revision = {revision}"
            f" WHERE NOT of_many AND ({is_taken}) AND NOT EXISTS ({marked})",
            [*named, *keys],
        )
    marked = f"SELECT 1 FROM {marks} WHERE {marks}.tx = {changes}.tx"
    yield (
        f"UPDATE {changes} SET pending = EXISTS ({marked}), revision = coalesce(revision, %s),"
        " last_revision = coalesce(%s, last_revision) WHERE pending AND of_many",
        bounds,
    )


def _revision(taken: Collection[Key], ended: Collection[Key], logged: Mapping[Key, int]) -> sql.Statement:
    """The last one, where there are several: of a group that ended, and of the next with its key.

    Leaving a group that is no more is in the revision of the group's end, where the user has none.
    """
    numbers = set(logged.values())
    watched = Watched()
    spelled = {Key(USER, watched.key(USER, key)): key for kind, key in taken if kind == USER}
    if len(numbers) == 1 and len(spelled) == len(taken) and spelled.keys() <= logged.keys():
        return "%s", [*numbers]  # mostly so, and in an import: they need not be named again
    cases: list[sql.Statement] = []
    ends: list[sql.Statement] = []
    for number in sorted(numbers, reverse=True):
        keys = [key for key, revision in logged.items() if revision == number]
        users = [spelled[key] for key in keys if key in spelled]
        cases += [
            (when, [*some, number]) for when, some in _of_kinds({USER: users, GROUP: _table_keys(keys)})
        ]
        if gone := _table_keys(set(keys) & set(ended)):
            these, parameters = sql.among(gone)
            ends.append((f"what = '{GROUP}' AND NOT came AND item {these}", [*parameters, number]))
    cases += ends
    if not cases:
        return "NULL", []
    whens = " ".join(f"WHEN {when} THEN %s" for when, _ in cases)
    return f"CASE {whens} END", [each for _, some in cases for each in some]


def _table_keys(keys: Collection[Key]) -> list[str]:
    return [incarnations.table_key(key.key) for key in keys if key.kind == GROUP]


def _of_any(taken: Collection[Key]) -> sql.Statement:
    """Pending ones: SQLite chooses an index for each branch from what the branch says."""
    some = list(_of_kinds({kind: [key.key for key in taken if key.kind == kind] for kind in (USER, GROUP)}))
    branches = " OR ".join(f"(pending AND {condition})" for condition, _ in some)
    return branches or "FALSE", [key for _, keys in some for key in keys]


def _of_kinds(keys: Mapping[str, Collection[str]]) -> Iterator[sql.Statement]:
    """Conditions, one for each kind of which there are some."""
    for kind, some in keys.items():
        if some:
            these, parameters = sql.among(some)
            yield f"kind = '{kind}' AND key {these}", parameters
