"""Ends that no trigger recorded: the tables were compared with the log, or a table was emptied.

Of users, whose tokens end with them, and of groups: another one with the same key has none of their members.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace

from authz_changelog import clock
from authz_changelog.marks.kinds import GROUP, USER
from authz_changelog.models import End
from authz_changelog.revisions import forgetting, generations, incarnations, subjects
from authz_changelog.revisions.differences import Difference
from authz_changelog.revisions.generations import Ended
from authz_changelog.revisions.states import canonical


def record(changes: list[Difference]) -> list[Difference]:
    """The changes. What ends tokens and is not recorded now is, and the states say so."""
    incarnations.retire([each.key.key for each in changes if each.key.kind == GROUP and each.state is None])
    forgetting.recall([change.key.key for change in changes if _is_new(change)])
    missed = {change.key.key: generation for change, generation in _missed(changes)}
    if not missed:
        return changes
    now = clock.now()
    End.objects.bulk_create(
        End(key=name, generation=missed[key], at=now) for name, key in subjects.spellings(missed).items()
    )
    return [
        _saying(change, Ended(missed[change.key.key], now))
        if change.key.kind == USER and change.key.key in missed
        else change
        for change in changes
    ]


def _is_new(change: Difference) -> bool:
    return change.key.kind == USER and change.before is None and change.state is not None


def _missed(changes: Iterable[Difference]) -> Iterable[tuple[Difference, int]]:
    """Who was active by the log, is not, or is another one, and has no end since; with the generation."""
    ending = [(change, before) for change in changes if (before := _ended_generation(change)) is not None]
    ends = generations.ends([change.key.key for change, _ in ending])
    for change, generation in ending:
        ended = ends.get(change.key.key)
        if ended is None or ended.generation < generation:
            yield change, generation


def _ended_generation(change: Difference) -> int | None:
    if change.key.kind != USER or change.before is None:
        return None
    before = json.loads(change.before)
    over = change.state is None or change.moved or not json.loads(change.state)["active"]
    ends = before["active"] and over
    return before["token_generation"] if ends else None


def _saying(change: Difference, ended: Ended) -> Difference:
    if change.state is None:
        return change
    state = json.loads(change.state)
    generation = max(state["token_generation"], ended.generation + 1)
    said = {"token_generation": generation, "tokens_not_before": ended.tokens_not_before}
    return replace(change, state=canonical(state | said))
