"""Groups that had the same primary key, one after the other, are told apart by their keys in the log.

The second group 3 is `3#2`: to sidecars keys of groups are opaque. So the end of a group with a million
members is one change: whoever's logged state still names the first one is not a member of the second.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from django.db import connection

from authz_changelog import sql
from authz_changelog.marks.kinds import GROUP
from authz_changelog.models import Entity, Incarnation
from authz_changelog.revisions.states import Key

_LATER = re.compile("(?<!#)((?:##)*)#([0-9]+)$")


def table_key(name: str) -> str:
    """The primary key of the group that the log calls so, as text."""
    return _LATER.sub(r"\1", name).replace("##", "#")


def names(keys: Collection[str]) -> dict[str, str]:
    """What the log calls the groups that now have these primary keys, or will have them next."""
    if not keys:
        return {}
    later = _numbers(keys)
    return {key: _name(key, later.get(key, 1)) for key in keys}


def later(keys: Collection[str]) -> list[str]:
    """Those of these primary keys that another group had before, or whose members can be older than they."""
    if connection.vendor == "sqlite":  # there foreign keys can be off
        return list(keys)
    return list(Incarnation.objects.filter(key__in=list(keys)).values_list("key", flat=True))


def end(keys: Collection[str]) -> list[Key]:
    """The groups that had these keys are no more; those of them that the log knows."""
    ended = names(keys)
    numbers = _numbers(keys)
    Incarnation.objects.bulk_create(
        [Incarnation(key=key, number=numbers.get(key, 1) + 1) for key in keys],
        update_conflicts=True,
        unique_fields=["key"],
        update_fields=["number"],
    )
    known = Entity.objects.filter(kind=GROUP, key__in=list(ended.values()), state__isnull=False)
    return [Key(GROUP, name) for name in known.values_list("key", flat=True)]


def retire(gone: Collection[str]) -> None:
    """Groups, by what the log calls them, are no more; also where no mark said so, as after TRUNCATE."""
    keys = {name: table_key(name) for name in gone}
    present = names(keys.values())
    if still := [key for name, key in keys.items() if present[key] == name]:
        end(still)


def _numbers(keys: Collection[str]) -> dict[str, int]:
    """Of those that are not the first with their keys."""
    these, parameters = sql.among(keys)
    return dict(
        sql.execute(f"SELECT key, number FROM {sql.table(Incarnation)} WHERE key {these}", parameters)  # noqa: S608 (our own table's names)
    )


def _name(key: str, number: int) -> str:
    escaped = key.replace("#", "##")
    return escaped if number == 1 else f"{escaped}#{number}"
