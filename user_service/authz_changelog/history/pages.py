"""Django admin's own history of a user or group also tells what was given and taken, by whatever way."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.core.exceptions import ValidationError
from django.db.models import Model, Q
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from authz_changelog.history import lines, selecting
from authz_changelog.marks.watched import Watched
from authz_changelog.models import Change
from authz_changelog.revisions import generations

SHOWN = 100


class HistoryOfGrants(admin.ModelAdmin):  # type: ignore[type-arg] # not generic where it runs
    """Mixin of the admin of users or groups."""

    object_history_template = "authz_changelog/object_history.html"

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        key = unquote(object_id)
        newest = list(Change.objects.filter(_about(self.model, key)).order_by("-pk")[: SHOWN + 1])
        more = f"{reverse('admin:authz_changelog_change_changelist')}?q={key}" if len(newest) > SHOWN else ""
        shown = {"changes": lines.lines(newest[:SHOWN]), "more": more}
        return super().history_view(request, object_id, {**(extra_context or {}), **shown})


def _about(model: type[Model], key: str) -> Q:
    if issubclass(model, Watched().user):
        try:
            return selecting.of_user(generations.text(model._meta.pk.to_python(key)))
        except ValidationError:
            return Q(pk__in=())  # Django says that there is none
    return selecting.of_group(key)
