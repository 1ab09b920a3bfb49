"""`GET /api/changes/?user=…`: what writers did, the newest first."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.generics import ListAPIView
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from authz_changelog.history import lines, selecting
from authz_changelog.history.names import Names
from authz_changelog.marks.recording import ITSELF
from authz_changelog.models import Change

PAGING = frozenset({"page", "page_size", "limit", "offset", "cursor", "format", "search", "ordering"})
"""Parameters of the framework."""


class Administrators(BasePermission):
    message = "Only administrators may do this."

    def has_permission(self, request: Request, view: object) -> bool:
        return bool(request.user.is_authenticated and request.user.is_superuser)


class ManyChanges(serializers.ListSerializer[Any]):
    """Looks up what things are called, once for all changes of a page."""

    def to_representation(self, data: Any) -> list[Any]:
        changes = list(data)
        names = Names(changes)
        return [_shown(change, names) for change in changes]


class ChangeSerializer(serializers.Serializer[Change]):
    """`what` is a permission's label, a group's name, or `active`, `superuser`, `tokens`, `itself`, or, for
    another subject than the main one, like `subject email`."""

    id = serializers.IntegerField()
    text = serializers.CharField()
    added = serializers.BooleanField()
    what = serializers.CharField()
    kind = serializers.CharField()
    key = serializers.CharField()
    name = serializers.CharField()
    rows = serializers.IntegerField()
    by = serializers.CharField()
    actor = serializers.CharField()
    actor_key = serializers.CharField()
    way = serializers.CharField()
    request = serializers.CharField()
    at = serializers.DateTimeField()
    revision = serializers.IntegerField(allow_null=True)
    last_revision = serializers.IntegerField(allow_null=True)
    pending = serializers.BooleanField()

    class Meta:
        list_serializer_class = ManyChanges


class ChangesView(ListAPIView[Change]):
    """What was given to whom and taken from whom, when, by whom and how. For administrators.

    `user`, `actor`: a primary key, or the name somebody signs in with. `group`: a primary key. `revision`,
    `request`: what came of one revision, of one request.
    """

    queryset = Change.objects.none()
    serializer_class = ChangeSerializer
    permission_classes = (Administrators,)
    filter_backends = ()

    def get_queryset(self) -> QuerySet[Change]:
        given = self.request.GET
        asked = {name: str(given[name]) for name in given if name not in PAGING}
        try:
            return selecting.changes(asked)
        except selecting.BadQuestion as error:
            raise ValidationError({error.parameter: [error.problem]}) from error


def _shown(change: Change, names: Names) -> dict[str, Any]:
    plain = ("kind", "key", "rows", "actor", "actor_key", "request", "revision", "last_revision", "pending")
    held = change.item and change.what != ITSELF
    return {
        "id": change.pk,
        "text": lines.line(change, names),
        "added": change.came,
        "what": names.of(change.what, change.item, change.pk) if held else change.what,
        "name": names.of(change.kind, change.key, change.pk) if change.key else "",
        "by": lines.by(change),
        "way": change.way or "sql",
        "at": change.at,
        **{name: getattr(change, name) for name in plain},
    }
