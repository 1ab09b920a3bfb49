"""The changes that can have decided whether a user holds some permissions, for a sidecar that explains."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Q

from authz_changelog.clock import rfc3339
from authz_changelog.history import lines
from authz_changelog.history.names import Names
from authz_changelog.marks.kinds import GROUP, PERMISSION, USER
from authz_changelog.marks.recording import ACTIVE, ITSELF, SUPERUSER, TOKENS
from authz_changelog.marks.watched import Watched
from authz_changelog.models import Change, Entity
from authz_changelog.revisions import generations, incarnations

LIMIT = 200
MANY = ""
"""The key of a statement of so many rows that they are not told one by one."""


def changes(sub: str, labels: Collection[str]) -> tuple[list[dict[str, Any]], bool]:
    """The newest first, of those from which a revision came; and whether these are all that are known."""
    entity = Entity.objects.filter(kind=USER, key=sub).first()
    user = None if entity is None else _user_key(entity)
    if entity is None or user is None:
        return [], True
    permissions = _permissions(labels)
    found = Change.objects.filter(_of_user(user, permissions) | _of_groups(entity, user, permissions))
    newest = list(found.filter(revision__isnull=False).order_by("-revision", "-pk")[: LIMIT + 1])
    return _told(newest[:LIMIT], sub, permissions), len(newest) <= LIMIT


def _user_key(entity: Entity) -> str | None:
    try:
        return generations.text(Watched().user._meta.pk.to_python(entity.primary_key))
    except ValidationError:  # it was forgotten
        return None


def _permissions(labels: Collection[str]) -> dict[str, str]:
    """By primary key."""
    split = [label.partition(".") for label in labels]
    named = Q(*(Q(content_type__app_label=app, codename=name) for app, _, name in split), _connector=Q.OR)
    if not split:
        return {}
    rows = Watched().permission._base_manager.filter(named)
    found = rows.values_list("pk", "content_type__app_label", "codename")
    return {str(pk): f"{app}.{codename}" for pk, app, codename in found}


def _of_user(user: str, permissions: Collection[str]) -> Q:
    itself = Q(what__in=(ITSELF, ACTIVE, SUPERUSER, TOKENS, GROUP))
    return Q(kind=USER, key__in=[user, MANY]) & (itself | Q(what=PERMISSION, item__in=[*permissions, MANY]))


def _of_groups(entity: Entity, user: str, permissions: Collection[str]) -> Q:
    """Of those that it is in, and of those that it ever was in."""
    groups = set(Change.objects.filter(kind=USER, key=user, what=GROUP).values_list("item", flat=True))
    if entity.state is not None:
        groups |= set(map(incarnations.table_key, entity.parsed_state["groups"]))
    gave = Q(what=ITSELF) | Q(what=PERMISSION, item__in=[*permissions, MANY])
    return Q(kind=GROUP, key__in=[*groups, MANY]) & gave


def _told(found: list[Change], sub: str, permissions: Mapping[str, str]) -> list[dict[str, Any]]:
    names = Names(found)
    keys = {each.key for each in found if each.kind == GROUP}
    groups = incarnations.names(keys | {each.item for each in found if each.what == GROUP})
    return [
        {
            "kind": each.kind,
            "key": (sub if each.kind == USER else groups[each.key]) if each.key else None,
            "what": each.what,
            "item": (groups if each.what == GROUP else permissions).get(each.item, ""),
            "added": each.came,
            "revision": each.revision,
            "at": rfc3339(each.at),
            "by": lines.by(each),
            "text": lines.line(each, names),
        }
        for each in found
    ]
