"""A change as people read it: "+ students.add_student for alice by admin over the API at …, revision 30"."""

from __future__ import annotations

from collections.abc import Collection

from django.db.models import Q

from authz_changelog.history.names import Names
from authz_changelog.marks import actors
from authz_changelog.marks.kinds import GROUP, USER
from authz_changelog.marks.recording import ITSELF, SUBJECT, TOKENS
from authz_changelog.models import Change

WAYS = {
    actors.API: " over the API",
    actors.ADMIN: " in the admin",
    actors.WEB: " on a page",
    actors.SHELL: " in a shell",
}


def lines(changes: Collection[Change]) -> list[str]:
    names = Names(changes)
    return [line(change, names) for change in changes]


def line(change: Change, names: Names) -> str:
    sign = "+" if change.came else "-"
    at = f"{change.at:%Y-%m-%d %H:%M} UTC"
    what = _one(change, names) if change.rows == 1 else _many(change)
    return f"{sign} {what} by {by(change)} at {at}, {revision(change)}"


def by(change: Change) -> str:
    """Who, and how."""
    if change.way:
        return f"{change.actor}{WAYS.get(change.way, '')}"
    return f"SQL ({change.actor})" if change.actor else "SQL"


def revision(change: Change) -> str:
    if change.revision is None:
        return "not yet in the log" if change.pending else "no revision"
    last = change.last_revision
    if last is None or last == change.revision:
        return f"revision {change.revision}"
    return f"revisions {change.revision} to {last}"


def authors(revisions: Collection[int]) -> dict[int, list[str]]:
    """Who made what these revisions contain, of each all of them."""
    found: dict[int, dict[str, None]] = {revision: {} for revision in revisions}
    if not revisions:
        return {}
    within = Q(revision__lte=max(revisions), last_revision__gte=min(revisions), of_many=True)
    fields = ("revision", "last_revision", "actor", "way")
    changes = Change.objects.filter(Q(revision__in=list(revisions)) | within)
    for change in changes.order_by(*fields).distinct().values(*fields):
        first, last = change["revision"], change["last_revision"] or change["revision"]
        for each in range(max(first, min(revisions)), min(last, max(revisions)) + 1):
            if each in found:
                found[each][by(Change(**change))] = None
    return {revision: list(names) for revision, names in found.items()}


def _one(change: Change, names: Names) -> str:
    owner = names.of(change.kind, change.key, change.pk)
    if change.what == ITSELF:
        return f"{change.kind.replace('_', ' ')} {owner}"
    group = "the group " if change.kind == GROUP else ""
    return f"{_what(change, names)} for {group}{owner}"


def _what(change: Change, names: Names) -> str:
    if change.what == SUBJECT:
        return f"another {change.item}"
    if change.what == TOKENS:
        return "all tokens"
    what = names.of(change.what, change.item, change.pk) if change.item else change.what
    return f"group {what}" if change.what == GROUP else what


def _many(change: Change) -> str:
    rows = f"{change.rows:,} rows" if change.rows else "all rows"
    owners = "users" if change.kind == USER else f"{change.kind.replace('_', ' ')}s"
    return f"{rows}: {owners}" if change.what == ITSELF else f"{rows}: {change.what}s for {owners}"
