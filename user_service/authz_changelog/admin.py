"""The change log in Django admin: to look at, never to change."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from authz_changelog.history import lines
from authz_changelog.marks.watched import SEPARATOR
from authz_changelog.models import Change, Entity, Head, Revision, ServiceToken, Slice


class ReadOnlyAdmin(admin.ModelAdmin):
    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


@admin.register(Head)
class HeadAdmin(ReadOnlyAdmin):
    list_display = ("revision", "epoch")


class Read(ChangeList):
    """A page whose rows are worded all at once: `worded` of each is what its admin says."""

    model_admin: "WordedAdmin"

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        rows: list[Any] = list(self.result_list)
        for row, worded in zip(rows, self.model_admin.words(rows), strict=True):
            row.worded = worded
        self.result_list = rows


class WordedAdmin(ReadOnlyAdmin):
    show_full_result_count = False

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return Read

    def words(self, rows: list[Any]) -> list[str]:
        raise NotImplementedError


@admin.register(Revision)
class RevisionAdmin(WordedAdmin):
    list_display = ("revision", "by", "marked_at", "at", "entities")
    ordering = ("-revision",)
    date_hierarchy = "at"

    def words(self, rows: list[Revision]) -> list[str]:
        authors = lines.authors([row.pk for row in rows])
        return ["; ".join(authors[row.pk]) for row in rows]

    @admin.display
    def by(self, row: Any) -> str:
        return str(row.worded)


@admin.register(Change)
class ChangeAdmin(WordedAdmin):
    """What writers did."""

    list_display = ("change", "request")
    list_filter = ("came", "what", "way", "kind")
    search_fields = ("=key", "=actor", "=actor_key", "=request", "=revision")
    ordering = ("-id",)

    def words(self, rows: list[Change]) -> list[str]:
        return lines.lines(rows)

    @admin.display
    def change(self, row: Any) -> str:
        return str(row.worded)


@admin.register(Entity)
class EntityAdmin(ReadOnlyAdmin):
    list_display = ("kind", "called", "revision", "state")
    list_filter = ("kind",)
    search_fields = ("=key",)
    ordering = ("-revision",)
    show_full_result_count = False

    @admin.display(description="key", ordering="key")
    def called(self, entity: Entity) -> str:
        """A subject of another field than the main one has a character that nobody sees."""
        return entity.key.replace(SEPARATOR, ":")


@admin.register(Slice)
class SliceAdmin(ReadOnlyAdmin):
    list_display = ("section", "after", "until", "compared_at")
    ordering = ("compared_at",)


@admin.register(ServiceToken)
class ServiceTokenAdmin(ReadOnlyAdmin):
    """Tokens are made by `manage.py new_service_token`; here they can be revoked."""

    list_display = ("name", "created_at", "last_used_at", "revoked_at")
    actions = ("revoke",)

    @admin.action(description="Revoke the selected service tokens", permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ServiceToken]) -> None:
        queryset.filter(revoked_at=None).update(revoked_at=timezone.now())

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("authz_changelog.change_servicetoken")
